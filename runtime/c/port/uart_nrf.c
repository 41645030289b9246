/* The UART of nRF51 and nRF52, at 115200 baud from its own clock. */
#include "board.h"
#include "nrf_pins.h"
#include "uart.h"

#define STARTRX UART_REGISTER(0x000)
#define STARTTX UART_REGISTER(0x008)
#define RXDRDY UART_REGISTER(0x108)
#define TXDRDY UART_REGISTER(0x11c)
#define ENABLE UART_REGISTER(0x500)
#define PSELTXD UART_REGISTER(0x50c)
#define PSELRXD UART_REGISTER(0x514)
#define RXD UART_REGISTER(0x518)
#define TXD UART_REGISTER(0x51c)
#define BAUDRATE UART_REGISTER(0x524)

#if BOARD_UART_BAUD != 115200
#error another rate wants another value of BAUDRATE
#endif

void uart_init(uint32_t clock_hz)
{
    (void)clock_hz;
    nrf_pins_init();
    PSELTXD = BOARD_UART_TX_PIN;
    PSELRXD = BOARD_UART_RX_PIN;
    BAUDRATE = 0x01d7e000;
    ENABLE = 4;
    STARTTX = 1;
    STARTRX = 1;
}

void uart_put(uint8_t byte)
{
    TXDRDY = 0;
    TXD = byte;
    while (TXDRDY == 0) continue;
}

int uart_get(void)
{
    if (RXDRDY == 0) return -1;
    RXDRDY = 0; /* before the byte is read: that may bring the next one */
    return (int)(RXD & 0xffu);
}
