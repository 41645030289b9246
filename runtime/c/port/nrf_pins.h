/*
 * nrf_pins: sets up BOARD_UART_TX_PIN and BOARD_UART_RX_PIN of the GPIO port at BOARD_UART_GPIO.
 */
#ifndef NRF_PINS_H
#define NRF_PINS_H

#include <stdint.h>

#include "board.h"

static inline void nrf_pins_init(void)
{
    volatile uint32_t *const gpio = (volatile uint32_t *)(uintptr_t)BOARD_UART_GPIO;
    gpio[0x08 / 4] = 1u << BOARD_UART_TX_PIN;         /* OUTSET: idle is high */
    gpio[0x18 / 4] = 1u << BOARD_UART_TX_PIN;         /* DIRSET: an output */
    gpio[0x200 / 4 + BOARD_UART_RX_PIN] = 0x0000000c; /* PIN_CNF: an input, pulled up */
}

#endif
