#include "semihosting.h"

#include <stdint.h>
#include <string.h>

enum {
    SYS_OPEN = 0x01,
    SYS_WRITE0 = 0x04,
    SYS_WRITE = 0x05,
    SYS_READ = 0x06,
    SYS_EXIT_EXTENDED = 0x20
};

static int call(int operation, const void *argument)
{
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

int semihosting_open(const char *path, int mode)
{
    const uintptr_t block[3] = {(uintptr_t)path, (uintptr_t)mode, strlen(path)};
    return call(SYS_OPEN, block);
}

int semihosting_read(int handle, void *data, size_t bytes)
{
    const uintptr_t block[3] = {(uintptr_t)handle, (uintptr_t)data, bytes};
    return call(SYS_READ, block);
}

int semihosting_write(int handle, const void *data, size_t bytes)
{
    const uintptr_t block[3] = {(uintptr_t)handle, (uintptr_t)data, bytes};
    return call(SYS_WRITE, block);
}

void semihosting_print(const char *text)
{
    call(SYS_WRITE0, text);
}

void semihosting_exit(int code)
{
    const uintptr_t block[2] = {0x20026, (uintptr_t)code}; /* "application exit" */
    for (;;) call(SYS_EXIT_EXTENDED, block);
}
