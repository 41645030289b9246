/*
 * The stream of Zephyr as a process of a computer: its standard input and output.
 */
#include <nsi_main.h>
#include <string.h>
#include <zephyr/kernel.h>

#include "link.h"
#include "zephyr_native_host.h"

int link_open(uint32_t clock_hz)
{
    (void)clock_hz;
    return link_write(NULL, "\n", 1);
}

int link_read(void *context, void *data, size_t bytes, enum odt_patience patience)
{
    uint8_t *next = (uint8_t *)data;
    (void)context;
    (void)patience; /* a pipe loses nothing, and its end is seen */
    while (bytes > 0) {
        const long count = native_host_read(next, bytes);
        if (count < 0) return -1;
        if (count == 0) k_sleep(K_TICKS(1)); /* other threads run, and time passes */
        next += count;
        bytes -= (size_t)count;
    }
    return 0;
}

int link_write(void *context, const void *data, size_t bytes)
{
    (void)context;
    return native_host_write(data, bytes);
}

void link_print(const char *text)
{
    (void)link_write(NULL, text, strlen(text));
}

void link_end(int status)
{
    nsi_exit(status);
    CODE_UNREACHABLE;
}
