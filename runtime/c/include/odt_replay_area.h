/*
 * odt_replay_area: what a slot of odt_replay.h holds, and the blocks of flash that its ring takes,
 * behind the slots of odt_store.h. None where the ring lies in RAM, and where there is none.
 *
 * The slots lie in groups of as many as fill a block, or in groups of one where a slot is larger
 * than a block. One more group than they need is there, to be written anew while the old one is
 * still whole.
 */
#ifndef ODT_REPLAY_AREA_H
#define ODT_REPLAY_AREA_H

#include "model.h"
#include "odt_flash.h"

#ifdef ODT_REPLAY_SLOTS
#define ODT_REPLAY_TARGET_BYTES ((uint32_t)(ODT_TARGET_ELEMENTS * sizeof(odt_target_t)))
#ifdef ODT_REPLAY_OF_FEATURES
#define ODT_REPLAY_DATA_BYTES ODT_FEATURE_BYTES
#else
#define ODT_REPLAY_DATA_BYTES ((uint32_t)(ODT_INPUT_ELEMENTS * sizeof(odt_input_t)))
#endif
#endif

#if defined(ODT_REPLAY_SLOTS) && ODT_REPLAY_IN_FLASH
#define ODT_REPLAY_HEADER_BYTES 32u /* of a group */
#define ODT_REPLAY_MARK_BYTES 12u   /* of a slot, before its target and its data */
#define ODT_REPLAY_SLOT_BYTES(unit)                                                 \
    (ODT_STORE_UNITS(ODT_REPLAY_MARK_BYTES, unit) +                                 \
     ODT_STORE_UNITS(ODT_REPLAY_TARGET_BYTES, unit) +                               \
     ODT_STORE_UNITS(ODT_REPLAY_DATA_BYTES, unit))
#define ODT_REPLAY_GROUP_BYTES(unit, block)                                         \
    ODT_STORE_UNITS(ODT_STORE_UNITS(ODT_REPLAY_HEADER_BYTES, unit) +                \
                        ODT_REPLAY_SLOT_BYTES(unit), block)
#define ODT_REPLAY_GROUP_SLOTS(unit, block)                                         \
    ((ODT_REPLAY_GROUP_BYTES(unit, block) -                                         \
      ODT_STORE_UNITS(ODT_REPLAY_HEADER_BYTES, unit)) / ODT_REPLAY_SLOT_BYTES(unit))
#define ODT_REPLAY_GROUPS(unit, block)                                              \
    ((ODT_REPLAY_SLOTS + ODT_REPLAY_GROUP_SLOTS(unit, block) - 1u) /                \
     ODT_REPLAY_GROUP_SLOTS(unit, block))
#define ODT_REPLAY_BLOCKS(unit, block)                                              \
    ((ODT_REPLAY_GROUPS(unit, block) + 1u) * (ODT_REPLAY_GROUP_BYTES(unit, block) / (block)))
#else
#define ODT_REPLAY_BLOCKS(unit, block) 0u
#endif

#endif
