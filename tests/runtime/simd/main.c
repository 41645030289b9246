/*
 * Runs check() on a bare Cortex-M, the M0 too, and says where it failed.
 *
 * Nothing here has an initial value in RAM, so there is nothing to copy before main().
 */
#include <stdint.h>

#include "semihosting.h"

#define CPACR (*(volatile uint32_t *)0xe000ed88u) /* the M0 ignores it */

extern uint32_t odt_stack_top[];

int check(void);

__attribute__((noreturn, noinline)) static void start(void)
{
    char text[] = "line 00000 failed\n";
    int line = check();
    if (line == 0) semihosting_exit(0);
    for (int32_t at = 9; at >= 5; at--, line /= 10) text[at] = (char)('0' + line % 10);
    semihosting_print(text);
    semihosting_exit(1);
}

__attribute__((noreturn)) static void reset(void)
{
    CPACR |= 0xf00000u; /* full access to the registers that FPU and MVE share */
    __asm__ volatile("dsb\n isb" ::: "memory");
    start();
}

__attribute__((noreturn)) static void fault(void)
{
    semihosting_print("fault\n");
    semihosting_exit(2);
}

/* The first exceptions; no interrupt is ever enabled. */
struct vectors {
    const void *stack;
    void (*handlers[15])(void);
};
extern const struct vectors vectors;
__attribute__((section(".vectors"), used)) const struct vectors vectors = {
    odt_stack_top,
    {reset, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault,
     fault, fault},
};
