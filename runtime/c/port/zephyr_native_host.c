#include "zephyr_native_host.h"

#include <poll.h>
#include <unistd.h>

long native_host_read(void *data, unsigned long bytes)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    long count;
    if (poll(&input, 1, 0) <= 0) return 0;
    count = read(STDIN_FILENO, data, bytes);
    return count > 0 ? count : -1;
}

int native_host_write(const void *data, unsigned long bytes)
{
    const char *next = data;
    while (bytes > 0) {
        const long count = write(STDOUT_FILENO, next, bytes);
        if (count <= 0) return -1;
        next += count;
        bytes -= (unsigned long)count;
    }
    return 0;
}
