/*
 * The port to a bare core: the training server, on whatever link the project has.
 */
#include "board.h"
#include "link.h"
#include "machine.h"
#include "odt_board.h"

__attribute__((weak)) uint32_t odt_board_init(void)
{
    return BOARD_CLOCK_HZ;
}

static void account(void *context, odt_stats_t *stats)
{
    (void)context;
    stats->stack_used = machine_stack_used();
    stats->stack_reserved = machine_stack_reserved();
    stats->static_bytes = machine_static_bytes() - (uint32_t)sizeof(odt_t);
}

static uint32_t cycles(void *context)
{
    (void)context;
    return machine_cycles();
}

int main(void)
{
    /* .noinit: start-up neither clears nor loads it. */
    static __attribute__((aligned(ODT_ARENA_ALIGN), section(".noinit.arena")))
    uint8_t arena[ODT_ARENA_BYTES];
    static odt_t odt_state;
    static odt_message_t message;
    static odt_io_t io = {
        .read = link_read, .write = link_write, .account = account, .cycles = cycles};

    if (link_open(odt_board_init()) != 0) {
        link_print("odt: cannot open the emulator's standard input and output\n");
        return 1;
    }
    io.flash = odt_board_flash();
#ifdef ODT_REPLAY_SLOTS
    static odt_replay_t replay;
    io.replay = &replay;
    (void)odt_replay_init(&replay, io.flash); /* what failed in it fails each call */
#endif
    machine_guard();
    int status = odt_init(&odt_state, arena, sizeof arena);
    if (status == ODT_OK) status = odt_serve(&io, &odt_state, &message);
    if (status != ODT_OK) link_print("odt: odt_init failed, or the stream broke\n");
    return status == ODT_OK ? 0 : 1;
}
