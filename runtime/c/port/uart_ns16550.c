/* The 16550 and its descendants, with registers a byte apart: QEMU's RISC-V virt. */
#include "board.h"
#include "uart.h"

#define BYTE_REGISTER(offset) (*(volatile uint8_t *)(uintptr_t)(BOARD_UART_BASE + (offset)))
#define DATA BYTE_REGISTER(0)         /* or the low byte of the divisor */
#define DIVISOR_HIGH BYTE_REGISTER(1) /* while LCR_DIVISOR is set */
#define FCR BYTE_REGISTER(2)
#define LCR BYTE_REGISTER(3)
#define LSR BYTE_REGISTER(5)
#define LCR_8_BITS 0x03u
#define LCR_DIVISOR 0x80u
#define LSR_RECEIVED 0x01u
#define LSR_EMPTY 0x20u

void uart_init(uint32_t clock_hz)
{
    const uint32_t divisor = (clock_hz + 8u * BOARD_UART_BAUD) / (16u * BOARD_UART_BAUD);
    LCR = LCR_DIVISOR;
    DATA = (uint8_t)divisor;
    DIVISOR_HIGH = (uint8_t)(divisor >> 8);
    LCR = LCR_8_BITS;
    FCR = 0x07; /* both FIFOs, emptied */
}

void uart_put(uint8_t byte)
{
    while (!(LSR & LSR_EMPTY)) continue;
    DATA = byte;
}

int uart_get(void)
{
    return LSR & LSR_RECEIVED ? DATA : -1;
}
