/* The USART of STM32F1, F2 and F4. */
#include "board.h"
#include "stm32_pins.h"
#include "uart.h"

#define SR UART_REGISTER(0x00)
#define DR UART_REGISTER(0x04)
#define BRR UART_REGISTER(0x08)
#define CR1 UART_REGISTER(0x0c)
#define RXNE 0x20u /* of SR: a byte is there; reading it also ends an overrun */
#define TXE 0x80u  /* there is room for one */

void uart_init(uint32_t clock_hz)
{
    stm32_pins_init();
    BRR = (clock_hz + BOARD_UART_BAUD / 2u) / BOARD_UART_BAUD;
    CR1 = 0x200cu; /* enable, transmit, receive */
}

void uart_put(uint8_t byte)
{
    while (!(SR & TXE)) continue;
    DR = byte;
}

int uart_get(void)
{
    return SR & RXNE ? (int)(DR & 0xffu) : -1;
}
