/*
 * Semihosting of Arm and RISC-V: the debugger or emulator does input and output for the core.
 *
 * Only what the bare-metal port needs. Every call traps to the host; without a
 * debugger attached to answer it, the trap is a fault.
 */
#ifndef ODT_SEMIHOSTING_H
#define ODT_SEMIHOSTING_H

#include <stddef.h>

/* Opens a host file. mode: 1 "rb", 5 "wb". Returns a handle, or -1. */
int semihosting_open(const char *path, int mode);

/* Read or write up to `bytes`; return how many were NOT transferred, or negative. */
int semihosting_read(int handle, void *data, size_t bytes);
int semihosting_write(int handle, const void *data, size_t bytes);

/* Prints text on the host's console. */
void semihosting_print(const char *text);

/* Ends the emulation; `code` becomes the emulator's exit status. */
__attribute__((noreturn)) void semihosting_exit(int code);

#endif
