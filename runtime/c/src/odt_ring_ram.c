#include "odt_ring.h"

#if defined(ODT_REPLAY_SLOTS) && !ODT_REPLAY_IN_FLASH

#include <string.h>

int odt_ring_open(odt_replay_t *replay, const odt_flash_t *flash)
{
    (void)replay;
    (void)flash;
    return ODT_OK;
}

int odt_ring_write(odt_replay_t *replay, uint32_t slot, uint32_t seen, uint32_t seen_of,
                   const odt_target_t *target, const void *data)
{
    (void)seen;
    (void)seen_of;
    memcpy(replay->targets[slot], target, sizeof replay->targets[slot]);
    memcpy(replay->data[slot], data, sizeof replay->data[slot]);
    return ODT_OK;
}

int odt_ring_read(odt_replay_t *replay, uint32_t slot, void *data)
{
    memcpy(replay->target, replay->targets[slot], sizeof replay->target);
    memcpy(data, replay->data[slot], sizeof replay->data[slot]);
    return ODT_OK;
}

#endif
