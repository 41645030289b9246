/*
 * The stream is a UART of Zephyr, at the speed that the devicetree gives it. Interrupts put what
 * arrives into a queue, so nothing is lost while other threads run.
 */
#include <zephyr/drivers/uart.h>
#include <zephyr/kernel.h>

#include "link.h"

#if DT_HAS_CHOSEN(odt_uart)
#define UART_NODE DT_CHOSEN(odt_uart)
#else
#define UART_NODE DT_CHOSEN(zephyr_console)
#endif

BUILD_ASSERT(IS_ENABLED(CONFIG_UART_INTERRUPT_DRIVEN), "odt: the UART's driver has no interrupts");

static const struct device *const uart = DEVICE_DT_GET(UART_NODE);
K_MSGQ_DEFINE(received, 1, CONFIG_ODT_LINK_BYTES, 1);

static void on_interrupt(const struct device *device, void *context)
{
    uint8_t byte;
    (void)context;
    (void)uart_irq_update(device);
    while (uart_irq_rx_ready(device) > 0 && uart_fifo_read(device, &byte, 1) == 1)
        (void)k_msgq_put(&received, &byte, K_NO_WAIT); /* the frame's CRC tells of a lost one */
}

int link_open(uint32_t clock_hz)
{
    (void)clock_hz; /* the devicetree's business */
    if (!device_is_ready(uart)) return -1;
    if (uart_irq_callback_set(uart, on_interrupt) != 0) return -1;
    uart_irq_rx_enable(uart);
    link_print("\n"); /* from here on nothing is lost */
    return 0;
}

int link_read(void *context, void *data, size_t bytes, enum odt_patience patience)
{
    const k_timeout_t limit = patience == ODT_HURRY ? K_SECONDS(1) : K_FOREVER;
    uint8_t *next = (uint8_t *)data;
    (void)context;
    for (; bytes > 0; bytes--)
        if (k_msgq_get(&received, next++, limit) != 0) return ODT_ERR_TIMEOUT;
    return 0;
}

int link_write(void *context, const void *data, size_t bytes)
{
    const uint8_t *next = (const uint8_t *)data;
    (void)context;
    for (; bytes > 0; bytes--) uart_poll_out(uart, *next++);
    return 0;
}

void link_print(const char *text)
{
    for (; *text != '\0'; text++) uart_poll_out(uart, (unsigned char)*text);
}

void link_end(int status)
{
    (void)status; /* nobody could be told */
    for (;;) k_sleep(K_FOREVER);
}
