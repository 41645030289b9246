#include "zephyr_server.h"

#include <zephyr/fatal.h>
#include <zephyr/kernel.h>
#include <zephyr/linker/linker-defs.h>
#include <zephyr/linker/section_tags.h>

#include "link.h"
#ifdef CONFIG_ODT_STORE
#include "zephyr_flash.h"
#endif

#ifdef CONFIG_FPU_SHARING
#define THREAD_OPTIONS K_FP_REGS
#else
#define THREAD_OPTIONS 0
#endif

static __attribute__((aligned(ODT_ARENA_ALIGN), section(".noinit.arena")))
uint8_t odt_arena[ODT_ARENA_BYTES];
#ifdef CONFIG_ODT_STATE_IN_DTCM
static __dtcm_bss_section odt_t odt_state;
#define STATE_BYTES_IN_IMAGE 0u
#else
static odt_t odt_state;
#define STATE_BYTES_IN_IMAGE ((uint32_t)sizeof odt_state)
#endif
static odt_message_t message;
#ifdef ODT_REPLAY_SLOTS
static odt_replay_t replay;
#endif
static K_THREAD_STACK_DEFINE(odt_stack, CONFIG_ODT_STACK_SIZE);
static struct k_thread thread;

#ifndef CONFIG_ARCH_POSIX
/* As a process of a computer a thread has that computer's stack, and there is no account. */
static void account(void *context, odt_stats_t *stats)
{
    const uint32_t stack_bytes = (uint32_t)thread.stack_info.size;
    size_t unused = 0;
    (void)context;
    if (k_thread_stack_space_get(&thread, &unused) != 0) return;
    stats->stack_used = stack_bytes - (uint32_t)unused;
    stats->stack_reserved = stack_bytes;
    /* The kernel's data and the stacks of other threads are in it. */
    stats->static_bytes = (uint32_t)(_image_ram_end - _image_ram_start) - stack_bytes -
                          (uint32_t)sizeof odt_arena - STATE_BYTES_IN_IMAGE;
}
#endif

static uint32_t cycles(void *context)
{
    (void)context;
    return k_cycle_get_32();
}

static void serve(void *first, void *second, void *third)
{
    static odt_io_t io = {.read = link_read, .write = link_write, .cycles = cycles};
    (void)first;
    (void)second;
    (void)third;
#ifndef CONFIG_ARCH_POSIX
    io.account = account;
#endif
#ifdef CONFIG_ODT_STORE
    io.flash = zephyr_flash_open();
#endif
#ifdef ODT_REPLAY_SLOTS
    io.replay = &replay;
    (void)odt_replay_init(&replay, io.flash); /* what failed in it fails each call */
#endif
    int status = odt_init(&odt_state, odt_arena, sizeof odt_arena);
    if (status == ODT_OK) status = odt_serve(&io, &odt_state, &message);
    if (status != ODT_OK) link_print("odt: odt_init failed, or the stream broke\n");
    link_end(status == ODT_OK ? 0 : 1);
}

int zephyr_server_start(void)
{
    if (link_open(0) != 0) return -1;
    (void)k_thread_create(&thread, odt_stack, K_THREAD_STACK_SIZEOF(odt_stack), serve, NULL, NULL,
                          NULL, CONFIG_ODT_THREAD_PRIORITY, THREAD_OPTIONS, K_NO_WAIT);
    (void)k_thread_name_set(&thread, "odt"); /* where threads have names */
    return 0;
}

#if __has_include(<zephyr/version.h>) /* Zephyr 3.7 or later */
typedef struct arch_esf frame_t;
#else
typedef z_arch_esf_t frame_t;
#endif

/* The last words of a device that failed: the host shows them. */
void k_sys_fatal_error_handler(unsigned int reason, const frame_t *frame)
{
    (void)frame;
    link_print(reason == K_ERR_STACK_CHK_FAIL
                   ? "odt: stack overflow; raise CONFIG_ODT_STACK_SIZE\n"
                   : "odt: a fatal error of Zephyr\n");
    k_fatal_halt(reason);
}
