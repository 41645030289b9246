/*
 * odt_replay: old samples that are kept to be learned again, so that new ones do not drive out what
 * was learned from them.
 *
 * For models that were compiled with --replay N: model.h then says how many slots there are, where
 * they lie, and which samples stay:
 *
 *     ring       the newest
 *     reservoir  each sample that ever came with the same chance
 *     balanced   as many of each class as can be, of each class a reservoir
 *
 *     static odt_replay_t replay;
 *
 *     odt_replay_init(&replay, &flash);              behind odt_init()
 *     for each sample:
 *         odt_train_step(&odt, sample, &label, &loss);
 *         odt_train_replay(&odt, &replay, &loss);    an old one, ODT_ERR_NO_SAMPLES at the very first
 *         odt_replay_add(&replay, &odt, sample, &label);
 *
 * Which sample is kept and which is drawn follows from the seed in odt_t and the numbers of those
 * that came before: the same on every device, and whether the slots lie in RAM or in flash.
 *
 * Kept is the sample, or with --replay-of features what the layers make of it that training does not
 * change: often fewer bytes, less time a step, and the same bits.
 *
 * In flash the slots lie behind those of odt_store.h. A slot is written once, and one that is full
 * by writing its group anew, in free blocks, before the old group is given up: where power is lost,
 * the sample that was being added is lost and no other. Groups take turns in all blocks, so wear is
 * even. After a loss of power the count of samples goes on from the last that was kept.
 *
 * No malloc, no global state. Takes 700 bytes of stack where the slots lie in flash.
 */
#ifndef ODT_REPLAY_H
#define ODT_REPLAY_H

#include <stdint.h>

#include "model.h"
#include "odt_flash.h"
#include "odt_replay_area.h"

#ifdef ODT_REPLAY_SLOTS

#ifdef __cplusplus
extern "C" {
#endif

/* Values of ODT_REPLAY_POLICY. */
#define ODT_REPLAY_RING 0
#define ODT_REPLAY_RESERVOIR 1
#define ODT_REPLAY_BALANCED 2

/* The numbers above are those of the store. */
enum odt_replay_error {
    ODT_ERR_NO_SAMPLES = -40 /* none was kept yet */
};

#define ODT_REPLAY_EMPTY 0xffffu /* the label of an empty slot */

/* Whether a target is one label. */
#define ODT_REPLAY_HAS_LABELS (ODT_TARGET_IS_LABEL && ODT_TARGET_ELEMENTS == 1u)

#if defined(ODT_ADDS_CLASSES) && ODT_REPLAY_HAS_LABELS
#define ODT_REPLAY_ADDS_CLASSES 1 /* there is odt_replay_add_classes() */
#endif

typedef struct odt_replay {
    int32_t state;   /* 1 once odt_replay_init() succeeded, else its error */
    uint32_t seen;   /* samples that came, kept or not */
    uint32_t drawn;  /* since odt_replay_init() */
    uint32_t erases; /* blocks of flash that were erased for the slots; 0 where they lie in RAM */
#if ODT_REPLAY_POLICY == ODT_REPLAY_BALANCED
    uint32_t seen_of[ODT_OUTPUT_ELEMENTS]; /* samples that came, by class */
#endif
    odt_target_t target[ODT_TARGET_ELEMENTS]; /* of the sample that was read last */
#ifdef ODT_REPLAY_OF_FEATURES
    uint8_t features[ODT_FEATURE_BYTES]; /* on their way to a slot, or from one */
#endif
    uint16_t labels[ODT_REPLAY_SLOTS];        /* 0 where a target is no label */
#if ODT_REPLAY_IN_FLASH
    uint16_t places[ODT_REPLAY_SLOTS]; /* by group: where in the area it lies */
    uint32_t sequence;                 /* of the group that was written last */
    const odt_flash_t *flash;
#else
    odt_target_t targets[ODT_REPLAY_SLOTS][ODT_TARGET_ELEMENTS];
    uint8_t data[ODT_REPLAY_SLOTS][ODT_REPLAY_DATA_BYTES];
#endif
} odt_replay_t;

/* Begins with what the flash holds, or where the slots lie in RAM with none: all of `replay` is
 * zeroed first.
 *
 * flash  that of odt_store.h; not read where the slots lie in RAM
 *
 * Returns ODT_OK, ODT_ERR_NULL, or ODT_ERR_GEOMETRY or ODT_ERR_FLASH of odt_store.h; then all other
 * functions return that, too. Samples of another model, and damaged ones, are none. */
int odt_replay_init(odt_replay_t *replay, const odt_flash_t *flash);

/* Keeps a sample, or does not, as the policy has it.
 *
 * input  odt_input(), or any buffer outside the arena
 *
 * Returns 1 if it was kept, 0 if not, what odt_check_sample() says of one that could not be
 * trained, ODT_ERR_NULL, or ODT_ERR_FLASH: then the slots hold what they held. */
int odt_replay_add(odt_replay_t *replay, odt_t *odt, const odt_input_t *input,
                   const odt_target_t *target);

/* How many samples are kept now. */
uint32_t odt_replay_held(const odt_replay_t *replay);

/* Chooses one of those that are kept, each with the same chance, and says its slot.
 *
 * Returns ODT_OK, ODT_ERR_NULL or ODT_ERR_NO_SAMPLES. */
int odt_replay_draw(odt_replay_t *replay, const odt_t *odt, uint32_t *slot);

/* Reads a slot: its ODT_REPLAY_DATA_BYTES into `data`, its target into replay->target.
 *
 * Returns ODT_OK, ODT_ERR_NULL, ODT_ERR_NO_SAMPLES for an empty slot, ODT_ERR_FLASH, or
 * ODT_ERR_CORRUPT where the flash does not hold any more what was written: the slot is empty then. */
int odt_replay_read(odt_replay_t *replay, uint32_t slot, void *data);

/* A training step on a sample that is drawn.
 *
 * Returns what odt_train_step() returns (ODT_ERR_LABEL where the sample's class is not in use: see
 * odt_replay_add_classes()), or an error of odt_replay_draw() or odt_replay_read(). */
int odt_train_replay(odt_t *odt, odt_replay_t *replay, float *loss);

#ifdef ODT_REPLAY_ADDS_CLASSES
/* Puts the classes of all samples that are kept into use. Slots in flash outlive a class that was
 * added and not saved; without this odt_add_class() would give its label to another class. Call it
 * behind odt_load() and odt_replay_init().
 *
 * Returns how many classes are in use, ODT_ERR_NULL, or the error of odt_replay_init(). */
int32_t odt_replay_add_classes(const odt_replay_t *replay, odt_t *odt);
#endif

#ifdef __cplusplus
}
#endif

#endif
#endif
