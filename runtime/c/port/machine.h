/*
 * machine: a bare core, from its reset to main() and from a fault to the report of it.
 *
 * machine.c holds what every core does alike: it paints the stack, fills .data and .bss, calls
 * main(), and words a fault. The file of the architecture holds the rest: the reset vector, the
 * fault handler, the guard and the counter of cycles. The header beside it, which board.h includes,
 * holds what takes an instruction of it in the middle of other code.
 *
 * The stack lies at the bottom of RAM, so an overflow leaves RAM and, where there is a guard,
 * faults instead of eating data. A fault says in one line what it was and ends the program with
 * MACHINE_FAULT_STATUS.
 */
#ifndef MACHINE_H
#define MACHINE_H

#include <stdint.h>

#define MACHINE_FAULT_STATUS 70

/* Set by link.ld; only their addresses mean anything. */
extern uint32_t odt_flash_start[], odt_flash_end[]; /* code and constants */
extern uint32_t odt_store_start[], odt_store_end[]; /* flash that is kept for odt_save() */
extern uint32_t odt_ram_start[], odt_ram_end[];
extern uint32_t odt_stack_bottom[], odt_stack_top[];

/* ---- for the port ---- */

/* The deepest the stack has been since reset, in bytes. */
uint32_t machine_stack_used(void);

/* The stack that link.ld reserves, in bytes. */
uint32_t machine_stack_reserved(void);

/* Bytes of .data and .bss. */
uint32_t machine_static_bytes(void);

/* A counter of the core's cycles that wraps around; always 0 where the core has none. */
uint32_t machine_cycles(void);

/* From now on an access outside the flash and RAM of link.ld faults, and so does a write to
 * flash; only the addresses in board.h that a device needs stay open. Where the core has no unit
 * for it (Cortex-M0), nothing changes: only addresses that no memory answers to fault there. */
void machine_guard(void);

/* ---- between machine.c and the file of the core ---- */

/* What the reset code calls, on the stack that link.ld reserves. */
__attribute__((noreturn)) void machine_start(void);

/* What only this core needs before main(): its caches, its counter of cycles. */
void machine_prepare(void);

/* What an access to `address` that faulted was probably meant for, as ": words". */
const char *machine_explain(uint32_t address);

/* Prints a number as 0x and eight digits. */
void machine_print_hex(uint32_t value);

#endif
