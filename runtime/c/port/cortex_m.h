/*
 * cortex_m: what only an instruction of this core can do; board.h includes it.
 */
#ifndef CORTEX_M_H
#define CORTEX_M_H

#include <stdint.h>

static inline uintptr_t core_stack_pointer(void)
{
    uintptr_t stack_pointer;
    __asm__ volatile("mov %0, sp" : "=r"(stack_pointer));
    return stack_pointer;
}

/* Has the debugger or emulator do `operation`, and returns what it answers. */
static inline int core_semihosting(int operation, const void *argument)
{
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

#endif
