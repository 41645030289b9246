#include "device.h"

#include <string.h>

static void fill(odt_t *odt, uint32_t state)
{
    uint32_t x = state * 2654435761u + 1u;
    for (uint32_t i = 0; i < sizeof odt->params.bytes; i++) {
        x = x * 1664525u + 1013904223u;
        odt->params.bytes[i] = (uint8_t)(x >> 24);
    }
    odt->learning_rate = (float)state * 0.5f;
    odt->seed = state ^ 0xdeadbeefu;
    odt->steps = state;
}

int odt_init(odt_t *odt, void *arena, size_t arena_bytes)
{
    (void)arena_bytes;
    fill(odt, 0);
    odt->arena = (uint8_t *)arena;
    return ODT_OK;
}

int odt_set_learning_rate(odt_t *odt, float learning_rate)
{
    if (!(learning_rate >= 0.0f && learning_rate < 1e9f)) return ODT_ERR_LEARNING_RATE;
    odt->learning_rate = learning_rate;
    return ODT_OK;
}

int device_save(nor_t *nor, uint32_t state, odt_store_info_t *info)
{
    const odt_flash_t flash = nor_flash(nor);
    odt_t odt;
    fill(&odt, state);
    odt.arena = nor->bytes; /* any: a model that was initialised */
    return odt_save(&flash, &odt, info);
}

int device_load(nor_t *nor, uint32_t *state, odt_store_info_t *info)
{
    const odt_flash_t flash = nor_flash(nor);
    uint8_t arena[ODT_ARENA_BYTES];
    odt_t odt, wanted;
    int status;
    memset(&odt, 0, sizeof odt); /* padding too, for memcmp */
    memset(&wanted, 0, sizeof wanted);
    (void)odt_init(&odt, arena, sizeof arena);
    status = odt_load(&flash, &odt, info);
    fill(&wanted, odt.steps);
    wanted.arena = arena;
    *state = odt.steps;
    if (memcmp(&odt, &wanted, sizeof odt) != 0 || (status != ODT_OK) != (odt.steps == 0))
        return GARBAGE;
    return status;
}

int device_forget(nor_t *nor)
{
    const odt_flash_t flash = nor_flash(nor);
    uint8_t arena[ODT_ARENA_BYTES], zeros[ODT_ARENA_BYTES] = {0};
    odt_t odt, wanted;
    int status;
    memset(&wanted, 0, sizeof wanted); /* padding too, for memcmp */
    (void)odt_init(&wanted, arena, sizeof arena);
    memset(&odt, 0x55, sizeof odt);
    memset(arena, 0x55, sizeof arena);
    odt.arena = arena;
    status = odt_forget(&flash, &odt);
    return memcmp(&odt, &wanted, sizeof odt) == 0 && memcmp(arena, zeros, sizeof arena) == 0
               ? status
               : GARBAGE;
}
