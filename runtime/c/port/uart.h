/*
 * uart: the serial line of a board. Each uart_*.c drives one kind, at the address and with the
 * pins that board.h says; a project has one of them.
 */
#ifndef UART_H
#define UART_H

#include <stdint.h>

/* Sets up pins and line; `clock_hz` is the clock that the UART divides. */
void uart_init(uint32_t clock_hz);

/* Sends a byte; waits until the UART takes it. */
void uart_put(uint8_t byte);

/* The next byte that came, or -1 if none has. */
int uart_get(void);

#define UART_REGISTER(offset) (*(volatile uint32_t *)(uintptr_t)(BOARD_UART_BASE + (offset)))

#endif
