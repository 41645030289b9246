/*
 * The flash of a Nordic part, through its controller (NVMC): the pages that link.ld keeps behind
 * the image. The core stands still while it programs or erases, up to 0.1 s for a page.
 */
#include <string.h>

#include "board.h"
#include "machine.h"
#include "odt_board.h"

#define NVMC(offset) (*(volatile uint32_t *)(uintptr_t)(BOARD_NVMC_BASE + (offset)))
#define READY NVMC(0x400)
#define CONFIG NVMC(0x504)    /* what is allowed: */
#define ERASEPAGE NVMC(0x508) /* the address of the page to erase; not on the nRF53 */

enum { READ_ONLY = 0, PROGRAM = 1, ERASE = 2 };

static void wait(void)
{
    __asm__ volatile("dsb" ::: "memory"); /* what was written has arrived */
    while ((READY & 1u) == 0) {}
}

static void allow(uint32_t what)
{
    wait();
    CONFIG = what;
    wait();
}

static uintptr_t address_of(uint32_t offset)
{
    return (uintptr_t)odt_store_start + offset;
}

static int nvmc_read(void *context, uint32_t offset, void *data, uint32_t bytes)
{
    (void)context;
    memcpy(data, (const void *)address_of(offset), bytes);
    return 0;
}

static int nvmc_program(void *context, uint32_t offset, const void *data, uint32_t bytes)
{
    const uint8_t *next = (const uint8_t *)data;
    (void)context;
    allow(PROGRAM);
    for (uint32_t i = 0; i < bytes; i += 4) {
        uint32_t word;
        memcpy(&word, next + i, 4);
        *(volatile uint32_t *)address_of(offset + i) = word;
        wait();
    }
    allow(READ_ONLY);
    return 0;
}

static int nvmc_erase(void *context, uint32_t offset)
{
    (void)context;
    allow(ERASE);
#if BOARD_NVMC_ERASES_BY_WORD
    *(volatile uint32_t *)address_of(offset) = 0xffffffffu;
#else
    ERASEPAGE = (uint32_t)address_of(offset);
#endif
    allow(READ_ONLY);
    return 0;
}

__attribute__((weak)) const odt_flash_t *odt_board_flash(void)
{
    static odt_flash_t flash = {
        .read = nvmc_read,
        .program = nvmc_program,
        .erase = nvmc_erase,
        .program_bytes = 4,
        .block_bytes = BOARD_NVMC_PAGE_BYTES,
    };
    flash.block_count = ((uint32_t)(uintptr_t)odt_store_end - (uint32_t)address_of(0)) /
                        BOARD_NVMC_PAGE_BYTES;
    return &flash;
}
