/*
 * file_flash: a file that behaves as flash, for a device that is a program or emulated.
 *
 * Erased is 0xff, what is programmed must be erased, and it survives the device. The file holds
 * two slots of this model, and its samples where they are kept in flash. One that is missing reads
 * as erased and is made by the first change; one of another size is refused.
 */
#ifndef FILE_FLASH_H
#define FILE_FLASH_H

#include "odt_replay_area.h"
#include "odt_store.h"

#define FILE_FLASH_BLOCK_BYTES 4096u
#define FILE_FLASH_PROGRAM_BYTES 8u
#define FILE_FLASH_SLOT_BLOCKS                                                \
    ((ODT_STORE_IMAGE_BYTES(FILE_FLASH_PROGRAM_BYTES) + FILE_FLASH_BLOCK_BYTES - 1u) / \
     FILE_FLASH_BLOCK_BYTES)
#define FILE_FLASH_BLOCKS           \
    (2u * FILE_FLASH_SLOT_BLOCKS + \
     ODT_REPLAY_BLOCKS(FILE_FLASH_PROGRAM_BYTES, FILE_FLASH_BLOCK_BYTES))
#define FILE_FLASH_BYTES (FILE_FLASH_BLOCKS * FILE_FLASH_BLOCK_BYTES)

/* The one file: what host_flash.c and flash_semihosting.c supply. Each function returns 0, or
 * negative on failure. */
typedef struct file_access {
    /* Makes the missing file, and opens it. */
    int (*create)(void);

    int (*read)(uint32_t offset, void *data, uint32_t bytes);

    /* Also at the end of the file, which grows. */
    int (*write)(uint32_t offset, const void *data, uint32_t bytes);

    /* Returns once all that was written outlasts this program. NULL: it always does. */
    int (*sync)(void);
} file_access_t;

/* Makes `flash` of an open file of `bytes` bytes, or of a missing one: bytes < 0. `file` must
 * outlive it. 0, or negative if the file is another's or cannot be written. */
int file_flash_init(odt_flash_t *flash, const file_access_t *file, int32_t bytes);

#endif
