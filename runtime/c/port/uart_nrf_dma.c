/* The UARTE of nRF52, nRF53 and nRF91, at 115200 baud from its own clock, a byte at a time. */
#include "board.h"
#include "nrf_pins.h"
#include "uart.h"

#define STARTRX UART_REGISTER(0x000)
#define STARTTX UART_REGISTER(0x008)
#define ENDRX UART_REGISTER(0x110)
#define ENDTX UART_REGISTER(0x120)
#define ENABLE UART_REGISTER(0x500)
#define PSELTXD UART_REGISTER(0x50c)
#define PSELRXD UART_REGISTER(0x514)
#define BAUDRATE UART_REGISTER(0x524)
#define RX_ADDRESS UART_REGISTER(0x534)
#define RX_BYTES UART_REGISTER(0x538)
#define TX_ADDRESS UART_REGISTER(0x544)
#define TX_BYTES UART_REGISTER(0x548)

/* For the DMA, which reaches RAM only. */
static volatile uint8_t received, sent;

void uart_init(uint32_t clock_hz)
{
    (void)clock_hz;
    nrf_pins_init();
    PSELTXD = BOARD_UART_TX_PIN;
    PSELRXD = BOARD_UART_RX_PIN;
    BAUDRATE = 0x01d60000;
    ENABLE = 8;
    RX_ADDRESS = (uint32_t)(uintptr_t)&received;
    RX_BYTES = 1;
    TX_ADDRESS = (uint32_t)(uintptr_t)&sent;
    TX_BYTES = 1;
    STARTRX = 1;
}

void uart_put(uint8_t byte)
{
    sent = byte;
    ENDTX = 0;
    STARTTX = 1;
    while (ENDTX == 0) continue;
}

int uart_get(void)
{
    int byte;
    if (ENDRX == 0) return -1;
    ENDRX = 0;
    byte = received;
    STARTRX = 1; /* what came in between waits in the UARTE's FIFO */
    return byte;
}
