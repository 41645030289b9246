/* The APB UART of Arm's Cortex-M System Design Kit: MPS2 and MPS3. */
#include "board.h"
#include "uart.h"

#define DATA UART_REGISTER(0x00)
#define STATE UART_REGISTER(0x04)
#define CTRL UART_REGISTER(0x08)
#define BAUDDIV UART_REGISTER(0x10)
#define TX_FULL 1u /* of STATE */
#define RX_FULL 2u

void uart_init(uint32_t clock_hz)
{
    BAUDDIV = clock_hz / BOARD_UART_BAUD;
    CTRL = 3; /* transmit and receive */
}

void uart_put(uint8_t byte)
{
    while (STATE & TX_FULL) continue;
    DATA = byte;
}

int uart_get(void)
{
    return STATE & RX_FULL ? (int)(DATA & 0xffu) : -1;
}
