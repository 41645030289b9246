/*
 * odt_store: keeps what a model has learned in flash, through loss of power.
 *
 * The flash area is two slots of equal size, and what odt_replay.h keeps
 * behind them, if it does. odt_save() writes the slot that
 * does not hold the newest image, so that one is never touched until the new
 * one is complete; a write that is cut anywhere leaves the older image valid.
 *
 * An image is a header and the parameters. It is valid if both have the right
 * CRC-32; the header is programmed last. It belongs to this model if its hash is
 * ODT_MODEL_HASH. Of two valid images of this model the one with the later
 * sequence number counts, also after the numbers have wrapped around.
 *
 * Kept are the parameters, the learning rate, the seed and the number of steps:
 * training goes on after odt_load() as if power had never been lost.
 *
 *     odt_save(&flash, &odt, NULL);           after some steps
 *     ...                                     power lost
 *     odt_init(&odt, arena, sizeof arena);
 *     odt_load(&flash, &odt, NULL);           ODT_ERR_EMPTY at the very first start
 *
 * No malloc, no global state, no copy of the parameters in RAM.
 * Takes 600 bytes of stack: flash is read and programmed in pieces of 256.
 */
#ifndef ODT_STORE_H
#define ODT_STORE_H

#include <stdint.h>

#include "model.h"
#include "odt_flash.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Errors of the store; the numbers above are the model's and the protocol's. */
enum odt_store_error {
    ODT_ERR_FLASH = -32,    /* a function of odt_flash_t failed, or flash read back differently */
    ODT_ERR_GEOMETRY = -33, /* sizes in odt_flash_t that cannot be, or too small for the parameters */
    ODT_ERR_EMPTY = -34,    /* nothing was ever saved here */
    ODT_ERR_FOREIGN = -35,  /* the only valid images are of another model, or of another format */
    ODT_ERR_CORRUPT = -36   /* something was written, but no slot holds a whole image */
};

#define ODT_STORE_HEADER_BYTES 48u

/* What one slot needs at least, for an area to be laid out: header and parameters, each in whole
 * units of `program_bytes`. */
#define ODT_STORE_IMAGE_BYTES(program_bytes)                             \
    (ODT_STORE_UNITS(ODT_STORE_HEADER_BYTES, program_bytes) +            \
     ODT_STORE_UNITS((uint32_t)sizeof(odt_params_t), program_bytes))

/* What lies in the flash. */
typedef struct odt_store_info {
    uint32_t sequence;  /* of the newest valid image of this model; each save adds one */
    uint32_t erases[2]; /* how often each slot was erased; saves that were cut are not counted */
} odt_store_info_t;

/* Saves the model's parameters and the state of training.
 *
 * info  what lies in the flash then; NULL if not wanted
 *
 * Erases only the blocks that an image needs, then programs each byte once.
 *
 * Returns ODT_OK once the image is in the flash and was read back and compared, ODT_ERR_NULL, or
 * one of odt_store_error; then the image that was the newest is the newest still. When power is
 * lost inside, the newest is this one or the one before it. */
int odt_save(const odt_flash_t *flash, const odt_t *odt, odt_store_info_t *info);

/* Loads the newest valid image of this model into `odt`, which odt_init() has accepted.
 *
 * Returns ODT_OK, ODT_ERR_NULL (also where odt_init() did not succeed yet; see model.h) or one of
 * odt_store_error; then `odt` is as before, unless the flash itself failed between two readings of
 * the same bytes (ODT_ERR_FLASH or ODT_ERR_CORRUPT, and `odt` is as odt_init() leaves it). */
int odt_load(const odt_flash_t *flash, odt_t *odt, odt_store_info_t *info);

/* Forgets all that was learned and kept: erases every block of the area, both slots and what
 * odt_replay.h keeps there, zeroes the arena, and begins anew as odt_init() does. A ring of samples
 * is forgotten by odt_replay_init(), which must follow.
 *
 * flash  NULL: there is none, and RAM is all
 *
 * Returns ODT_OK once every byte of the area was read back as erased, ODT_ERR_NULL,
 * ODT_ERR_GEOMETRY, or ODT_ERR_FLASH: RAM is as said, and so are all blocks that could be erased.
 * When power is lost inside, call it again: what it had not come to is still there. */
int odt_forget(const odt_flash_t *flash, odt_t *odt);

#ifdef __cplusplus
}
#endif

#endif
