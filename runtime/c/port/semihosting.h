/*
 * Semihosting: the debugger or emulator does input and output for the core.
 *
 * Only what the bare-metal port needs. Every call traps to the host; without a
 * debugger attached to answer it, the trap is a fault.
 */
#ifndef ODT_SEMIHOSTING_H
#define ODT_SEMIHOSTING_H

#include <stddef.h>

/* How to open a host file: the modes of fopen(). */
enum semihosting_mode {
    SEMIHOSTING_READ = 1,   /* "rb" */
    SEMIHOSTING_UPDATE = 3, /* "r+b" */
    SEMIHOSTING_WRITE = 5,  /* "wb" */
    SEMIHOSTING_CREATE = 7  /* "w+b" */
};

/* Opens a host file. Returns a handle, or -1. */
int semihosting_open(const char *path, enum semihosting_mode mode);

/* Ends the use of a handle. 0, or -1. */
int semihosting_close(int handle);

/* The length of an open file in bytes, or -1. */
int semihosting_length(int handle);

/* Reading and writing go on at `offset` from the beginning. 0, or negative. */
int semihosting_seek(int handle, size_t offset);

/* Read or write up to `bytes`; return how many were NOT transferred, or negative. */
int semihosting_read(int handle, void *data, size_t bytes);
int semihosting_write(int handle, const void *data, size_t bytes);

/* Prints text on the host's console. */
void semihosting_print(const char *text);

/* Ends the emulation; `code` becomes the emulator's exit status. */
__attribute__((noreturn)) void semihosting_exit(int code);

#endif
