/*
 * The port to a hosted C: serves the model on standard input and output.
 *
 * There is no stack mark and no memory account here: a host's stack is not the
 * device's, and its pointers are wider.
 */
#include <stdio.h>

#include "odt_protocol.h"

static int stdin_read(void *context, void *data, size_t bytes, enum odt_patience patience)
{
    (void)context;
    (void)patience; /* a pipe loses nothing, and its end is seen */
    return fread(data, 1, bytes, stdin) == bytes ? 0 : -1;
}

static int stdout_write(void *context, const void *data, size_t bytes)
{
    (void)context;
    return fwrite(data, 1, bytes, stdout) == bytes && fflush(stdout) == 0 ? 0 : -1;
}

int main(void)
{
    static __attribute__((aligned(ODT_ARENA_ALIGN))) uint8_t arena[ODT_ARENA_BYTES];
    static odt_t odt;
    static odt_message_t message;
    const odt_io_t io = {.read = stdin_read, .write = stdout_write};

    int status = odt_init(&odt, arena, sizeof arena);
    if (status == ODT_OK) status = odt_serve(&io, &odt, &message);
    if (status == ODT_OK) return 0;
    fprintf(stderr, "odt: stopped with error %d\n", status);
    return 1;
}
