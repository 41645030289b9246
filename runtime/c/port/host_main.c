/*
 * The port to a hosted C: serves the model on standard input and output, or, with a number as its
 * argument, at that TCP port of 127.0.0.1, one host after the other. What is saved goes to
 * flash.bin in the directory that the program runs in.
 *
 * There is no stack mark and no memory account here: a host's stack is not the
 * device's, and its pointers are wider.
 */
#include <stdio.h>
#include <stdlib.h>

#include "host_flash.h"
#include "host_tcp.h"
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

/* Serves one host after the other; returns when there can be none any more. */
static int serve_tcp(uint16_t port, odt_io_t io, odt_t *odt, odt_message_t *message)
{
    const int listener = host_tcp_listen(port);
    int connection;
    if (listener < 0) {
        fprintf(stderr, "odt: cannot listen at port %u\n", (unsigned)port);
        return 1;
    }
    io.read = host_tcp_read;
    io.write = host_tcp_write;
    io.context = &connection;
    while ((connection = host_tcp_accept(listener)) >= 0) {
        (void)odt_serve(&io, odt, message); /* a host that breaks off is no reason to stop */
        host_tcp_close(connection);
    }
    return 1;
}

int main(int argc, char **argv)
{
    static __attribute__((aligned(ODT_ARENA_ALIGN))) uint8_t arena[ODT_ARENA_BYTES];
    static odt_t odt;
    static odt_message_t message;
    odt_flash_t flash;
    odt_io_t io = {.read = stdin_read, .write = stdout_write};

    const long port = argc == 2 ? strtol(argv[1], NULL, 10) : 0;
    if (argc > 2 || (argc == 2 && (port < 1 || port > 65535))) {
        fprintf(stderr, "odt: usage: %s [TCP port]\n", argv[0]);
        return 2;
    }
    int status = odt_init(&odt, arena, sizeof arena);
    if (host_flash_open(&flash, "flash.bin") == 0) io.flash = &flash;
#ifdef ODT_REPLAY_SLOTS
    static odt_replay_t replay;
    io.replay = &replay;
    (void)odt_replay_init(&replay, io.flash); /* what failed in it fails each call */
#endif
    if (status == ODT_OK && argc == 2) return serve_tcp((uint16_t)port, io, &odt, &message);
    if (status == ODT_OK) status = odt_serve(&io, &odt, &message);
    if (status == ODT_OK) return 0;
    fprintf(stderr, "odt: stopped with error %d\n", status);
    return 1;
}
