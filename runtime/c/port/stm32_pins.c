#include "stm32_pins.h"

#include <stddef.h>
#include <stdint.h>

#include "board.h"

#define REGISTER(address) (*(volatile uint32_t *)(uintptr_t)(address))
#define MODER 0x00u /* offsets in a GPIO port: two bits a pin */
#define PUPDR 0x0cu
#define AFR 0x20u /* two registers of four bits a pin */

static const uint32_t enables[][2] = {BOARD_UART_ENABLE};
static const uint32_t pins[][3] = {BOARD_UART_PINS};

static void set_field(uint32_t address, uint32_t index, uint32_t bits, uint32_t value)
{
    const uint32_t mask = (1u << bits) - 1u;
    REGISTER(address) = (REGISTER(address) & ~(mask << index * bits)) | value << index * bits;
}

void stm32_pins_init(void)
{
    for (size_t i = 0; i < sizeof enables / sizeof enables[0]; i++) {
        REGISTER(enables[i][0]) |= enables[i][1];
        (void)REGISTER(enables[i][0]); /* the clock runs once the write has arrived */
    }
    for (size_t i = 0; i < sizeof pins / sizeof pins[0]; i++) {
        const uint32_t port = pins[i][0], pin = pins[i][1];
        set_field(port + AFR + pin / 8u * 4u, pin % 8u, 4, pins[i][2]);
        set_field(port + PUPDR, pin, 2, 1); /* pulled up: an open line is silent */
        set_field(port + MODER, pin, 2, 2); /* the alternate function */
    }
}
