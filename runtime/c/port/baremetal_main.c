/*
 * The port to a bare Cortex-M under an emulator or debugger with semihosting.
 *
 * The stream is the emulator's own standard input and output, opened by path:
 * a pipe behind them carries the frames at memory speed, and its end is the
 * signal to stop.
 */
#include "cortex_m.h"
#include "odt_protocol.h"
#include "semihosting.h"

typedef struct stream {
    int in;  /* semihosting handles */
    int out;
} stream_t;

static int stream_read(void *context, void *data, size_t bytes)
{
    const stream_t *stream = (const stream_t *)context;
    uint8_t *next = (uint8_t *)data;
    while (bytes > 0) {
        const int left = semihosting_read(stream->in, next, bytes);
        if (left < 0 || (size_t)left >= bytes) return -1;
        next += bytes - (size_t)left;
        bytes = (size_t)left;
    }
    return 0;
}

static int stream_write(void *context, const void *data, size_t bytes)
{
    const stream_t *stream = (const stream_t *)context;
    return semihosting_write(stream->out, data, bytes) == 0 ? 0 : -1;
}

static void account(void *context, odt_stats_t *stats)
{
    (void)context;
    stats->stack_used = cortex_m_stack_used();
    stats->stack_reserved = cortex_m_stack_reserved();
    stats->static_bytes = cortex_m_static_bytes() - (uint32_t)sizeof(odt_t);
}

int main(void)
{
    /* .noinit: start-up neither clears nor loads it. */
    static __attribute__((aligned(ODT_ARENA_ALIGN), section(".noinit.arena")))
    uint8_t arena[ODT_ARENA_BYTES];
    static odt_t odt_state;
    static odt_message_t message;
    stream_t stream;
    const odt_io_t io = {
        .context = &stream, .read = stream_read, .write = stream_write, .account = account};

    stream.in = semihosting_open("/dev/stdin", 1);
    stream.out = semihosting_open("/dev/stdout", 5);
    if (stream.in < 0 || stream.out < 0) {
        semihosting_print("odt: cannot open the emulator's standard input and output\n");
        return 1;
    }
    int status = odt_init(&odt_state, arena, sizeof arena);
    if (status == ODT_OK) status = odt_serve(&io, &odt_state, &message);
    if (status != ODT_OK) semihosting_print("odt: odt_init failed, or the stream broke\n");
    return status == ODT_OK ? 0 : 1;
}
