/*
 * cortex_m: reset, faults and the memory account of a bare Cortex-M4F, M7 or M55.
 *
 * Reset enables the FPU, paints the stack, fills .data and .bss, closes every
 * address outside the FLASH and RAM regions of link.ld with the MPU, calls
 * main() and ends the emulation with its result. The stack lies at the bottom
 * of RAM, so an overflow leaves RAM and faults instead of eating data. A fault
 * prints one line and ends the emulation with status ODT_FAULT_STATUS.
 */
#ifndef ODT_CORTEX_M_H
#define ODT_CORTEX_M_H

#include <stdint.h>

#define ODT_FAULT_STATUS 70

/* The deepest the stack has been since reset, in bytes. */
uint32_t cortex_m_stack_used(void);

/* The stack that link.ld reserves, in bytes. */
uint32_t cortex_m_stack_reserved(void);

/* Bytes of .data and .bss. */
uint32_t cortex_m_static_bytes(void);

#endif
