/*
 * riscv: what only an instruction of this core can do; board.h includes it.
 */
#ifndef RISCV_H
#define RISCV_H

#include <stdint.h>

static inline uintptr_t core_stack_pointer(void)
{
    uintptr_t stack_pointer;
    __asm__ volatile("mv %0, sp" : "=r"(stack_pointer));
    return stack_pointer;
}

/* Has the debugger or emulator do `operation`, and returns what it answers. Three instructions of
 * full size, on one page: that is how the host knows them. */
static inline int core_semihosting(int operation, const void *argument)
{
    register int a0 __asm__("a0") = operation;
    register const void *a1 __asm__("a1") = argument;
    __asm__ volatile(".balign 16\n"
                     ".option push\n"
                     ".option norvc\n"
                     "slli x0, x0, 0x1f\n"
                     "ebreak\n"
                     "srai x0, x0, 7\n"
                     ".option pop"
                     : "+r"(a0)
                     : "r"(a1)
                     : "memory");
    return a0;
}

#endif
