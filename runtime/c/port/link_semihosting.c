/*
 * The stream is the emulator's own standard input and output, opened by path: a pipe behind them
 * carries the frames at memory speed, and its end is the signal to stop. It loses nothing, so
 * there is nothing to time out.
 */
#include "link.h"
#include "semihosting.h"

static int in, out; /* semihosting handles */

int link_open(uint32_t clock_hz)
{
    (void)clock_hz;
    in = semihosting_open("/dev/stdin", SEMIHOSTING_READ);
    out = semihosting_open("/dev/stdout", SEMIHOSTING_WRITE);
    return in < 0 || out < 0 ? -1 : 0;
}

int link_read(void *context, void *data, size_t bytes, enum odt_patience patience)
{
    uint8_t *next = (uint8_t *)data;
    (void)context;
    (void)patience;
    while (bytes > 0) {
        const int left = semihosting_read(in, next, bytes);
        if (left < 0 || (size_t)left >= bytes) return -1;
        next += bytes - (size_t)left;
        bytes = (size_t)left;
    }
    return 0;
}

int link_write(void *context, const void *data, size_t bytes)
{
    (void)context;
    return semihosting_write(out, data, bytes) == 0 ? 0 : -1;
}

void link_print(const char *text)
{
    semihosting_print(text);
}

void link_end(int status)
{
    semihosting_exit(status);
}
