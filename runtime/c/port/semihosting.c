#include "semihosting.h"

#include <stdint.h>
#include <string.h>

enum {
    SYS_OPEN = 0x01,
    SYS_CLOSE = 0x02,
    SYS_WRITE0 = 0x04,
    SYS_WRITE = 0x05,
    SYS_READ = 0x06,
    SYS_SEEK = 0x0a,
    SYS_FLEN = 0x0c,
    SYS_EXIT_EXTENDED = 0x20
};

#if defined(__riscv)

/* Three instructions of full size, on one page: that is how the host knows them. */
static int call(int operation, const void *argument)
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

#else

static int call(int operation, const void *argument)
{
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

#endif

int semihosting_open(const char *path, enum semihosting_mode mode)
{
    const uintptr_t block[3] = {(uintptr_t)path, (uintptr_t)mode, strlen(path)};
    return call(SYS_OPEN, block);
}

int semihosting_close(int handle)
{
    const uintptr_t block[1] = {(uintptr_t)handle};
    return call(SYS_CLOSE, block);
}

int semihosting_length(int handle)
{
    const uintptr_t block[1] = {(uintptr_t)handle};
    return call(SYS_FLEN, block);
}

int semihosting_seek(int handle, size_t offset)
{
    const uintptr_t block[2] = {(uintptr_t)handle, offset};
    return call(SYS_SEEK, block);
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
