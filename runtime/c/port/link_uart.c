/*
 * The stream is a serial line: 8 data bits, no parity, one stop bit, no handshake, at
 * BOARD_UART_BAUD of board.h. Polled, without interrupts: the host sends only while the device
 * listens.
 */
#include "board.h"
#include "link.h"
#include "uart.h"

static uint32_t polls; /* about a second of them */

int link_open(uint32_t clock_hz)
{
    polls = clock_hz / BOARD_UART_CYCLES_PER_POLL;
    uart_init(clock_hz);
    uart_put('\n'); /* from here on nothing is lost */
    return 0;
}

int link_read(void *context, void *data, size_t bytes, enum odt_patience patience)
{
    uint8_t *next = (uint8_t *)data;
    (void)context;
    for (; bytes > 0; bytes--) {
        uint32_t left = polls;
        int byte = uart_get();
        while (byte < 0) {
            if (patience == ODT_HURRY && left-- == 0) return ODT_ERR_TIMEOUT;
            byte = uart_get();
        }
        *next++ = (uint8_t)byte;
    }
    return 0;
}

int link_write(void *context, const void *data, size_t bytes)
{
    const uint8_t *next = (const uint8_t *)data;
    (void)context;
    for (; bytes > 0; bytes--) uart_put(*next++);
    return 0;
}

void link_print(const char *text)
{
    for (; *text != '\0'; text++) uart_put((uint8_t)*text);
}

void link_end(int status)
{
    (void)status; /* nobody could be told */
    for (;;) continue;
}
