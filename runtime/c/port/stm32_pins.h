/*
 * stm32_pins: gives the pins of board.h to the UART, and clocks to both.
 *
 * BOARD_UART_ENABLE   {address of an RCC register, bits to set}, ...
 * BOARD_UART_PINS     {base of a GPIO port, pin, number of the alternate function}, ...
 */
#ifndef STM32_PINS_H
#define STM32_PINS_H

void stm32_pins_init(void);

#endif
