#include "semihosting.h"

#include <stdint.h>
#include <string.h>

#include "board.h"

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

int semihosting_open(const char *path, enum semihosting_mode mode)
{
    const uintptr_t block[3] = {(uintptr_t)path, (uintptr_t)mode, strlen(path)};
    return core_semihosting(SYS_OPEN, block);
}

int semihosting_close(int handle)
{
    const uintptr_t block[1] = {(uintptr_t)handle};
    return core_semihosting(SYS_CLOSE, block);
}

int semihosting_length(int handle)
{
    const uintptr_t block[1] = {(uintptr_t)handle};
    return core_semihosting(SYS_FLEN, block);
}

int semihosting_seek(int handle, size_t offset)
{
    const uintptr_t block[2] = {(uintptr_t)handle, offset};
    return core_semihosting(SYS_SEEK, block);
}

int semihosting_read(int handle, void *data, size_t bytes)
{
    const uintptr_t block[3] = {(uintptr_t)handle, (uintptr_t)data, bytes};
    return core_semihosting(SYS_READ, block);
}

int semihosting_write(int handle, const void *data, size_t bytes)
{
    const uintptr_t block[3] = {(uintptr_t)handle, (uintptr_t)data, bytes};
    return core_semihosting(SYS_WRITE, block);
}

void semihosting_print(const char *text)
{
    core_semihosting(SYS_WRITE0, text);
}

void semihosting_exit(int code)
{
    const uintptr_t block[2] = {0x20026, (uintptr_t)code}; /* "application exit" */
    for (;;) core_semihosting(SYS_EXIT_EXTENDED, block);
}
