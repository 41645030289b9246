/*
 * odt_ring: where the slots of odt_replay.h lie: odt_ring_ram.c, or odt_ring_flash.c. Each function
 * returns ODT_OK, or an error of odt_store.h.
 */
#ifndef ODT_RING_H
#define ODT_RING_H

#include "odt_replay.h"

#ifdef ODT_REPLAY_SLOTS

#ifdef __cplusplus
extern "C" {
#endif

/* Finds what is there, for a `replay` that is zero but for its labels, which are empty. */
int odt_ring_open(odt_replay_t *replay, const odt_flash_t *flash);

/* Puts a sample into a slot, full or empty. Its label is the caller's to note.
 *
 * seen     its number among all that came
 * seen_of  and among those of its class; 0 where nothing depends on it */
int odt_ring_write(odt_replay_t *replay, uint32_t slot, uint32_t seen, uint32_t seen_of,
                   const odt_target_t *target, const void *data);

/* Reads a slot that is full. */
int odt_ring_read(odt_replay_t *replay, uint32_t slot, void *data);

/* The label that is noted for a target. */
static inline uint16_t odt_ring_label(const odt_target_t *target)
{
#if ODT_REPLAY_HAS_LABELS
    return (uint16_t)target[0];
#else
    (void)target;
    return 0;
#endif
}

#ifdef __cplusplus
}
#endif

#endif
#endif
