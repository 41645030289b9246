/* The USART of STM32F0, F3, F7, G, H, L and U. */
#include "board.h"
#include "stm32_pins.h"
#include "uart.h"

#define CR1 UART_REGISTER(0x00)
#define BRR UART_REGISTER(0x0c)
#define ISR UART_REGISTER(0x1c)
#define ICR UART_REGISTER(0x20)
#define RDR UART_REGISTER(0x24)
#define TDR UART_REGISTER(0x28)
#define ORE 0x08u  /* of ISR and ICR: bytes were lost, and none come until that is cleared */
#define RXNE 0x20u /* of ISR: a byte is there */
#define TXE 0x80u  /* there is room for one */

void uart_init(uint32_t clock_hz)
{
    stm32_pins_init();
    BRR = (clock_hz + BOARD_UART_BAUD / 2u) / BOARD_UART_BAUD;
    CR1 = 0x0du; /* enable, transmit, receive */
}

void uart_put(uint8_t byte)
{
    while (!(ISR & TXE)) continue;
    TDR = byte;
}

int uart_get(void)
{
    const uint32_t state = ISR;
    if (state & ORE) ICR = ORE;
    return state & RXNE ? (int)(RDR & 0xffu) : -1;
}
