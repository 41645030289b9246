/*
 * odt_flash: the flash that odt_store.h and odt_replay.h write, and what both do with it.
 */
#ifndef ODT_FLASH_H
#define ODT_FLASH_H

#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a port has to supply. Offsets count from the start of the area. */
typedef struct odt_flash {
    /* Handed to each function below; may be NULL. */
    void *context;

    /* Reads `bytes` at `offset`; any size and alignment inside the area. 0, or negative. */
    int (*read)(void *context, uint32_t offset, void *data, uint32_t bytes);

    /* Programs erased flash. `offset` and `bytes` are multiples of program_bytes, and the bytes
     * do not cross a block. 0, or negative. */
    int (*program)(void *context, uint32_t offset, const void *data, uint32_t bytes);

    /* Erases the block that begins at `offset`; its bytes are 0xff afterwards. 0, or negative. */
    int (*erase)(void *context, uint32_t offset);

    /* Returns once all that was programmed is in the flash. 0, or negative. NULL: it always is. */
    int (*sync)(void *context);

    /* The smallest unit of programming in bytes, 1 ... ODT_STORE_PROGRAM_MAX, a power of two. */
    uint32_t program_bytes;

    /* The unit of erasing in bytes, a multiple of program_bytes. */
    uint32_t block_bytes;

    /* Blocks of the area: two slots of odt_store.h, and those of odt_replay.h behind them. */
    uint32_t block_count;
} odt_flash_t;

#define ODT_STORE_PROGRAM_MAX 256u

/* `bytes` in whole units. */
#define ODT_STORE_UNITS(bytes, unit) (((bytes) + (unit)-1u) / (unit) * (unit))

/* `bytes` in whole units of program_bytes. */
static inline uint32_t odt_flash_padded(const odt_flash_t *flash, uint32_t bytes)
{
    return (bytes + flash->program_bytes - 1) & ~(flash->program_bytes - 1);
}

/* The functions below return 0, or negative where the flash fails. */

static inline int odt_flash_read(const odt_flash_t *flash, uint32_t offset, void *data,
                                 uint32_t bytes)
{
    return flash->read(flash->context, offset, data, bytes) == 0 ? 0 : -1;
}

/* Programs `data` at an offset that is a multiple of program_bytes, and makes sure that it can be
 * read again. What fills the last unit is 0xff, which leaves flash as erased. */
static inline int odt_flash_program(const odt_flash_t *flash, uint32_t offset, const void *data,
                                    uint32_t bytes)
{
    const uint8_t *next = (const uint8_t *)data;
    uint8_t chunk[ODT_STORE_PROGRAM_MAX];
    while (bytes > 0) {
        const uint32_t room = flash->block_bytes - offset % flash->block_bytes;
        const uint32_t most = room < sizeof chunk ? room : (uint32_t)sizeof chunk;
        const uint32_t part = bytes < most ? bytes : most;
        memset(chunk, 0xff, sizeof chunk);
        memcpy(chunk, next, part);
        if (flash->program(flash->context, offset, chunk,
                           odt_flash_padded(flash, part)) != 0 ||
            (flash->sync != NULL && flash->sync(flash->context) != 0) ||
            odt_flash_read(flash, offset, chunk, part) != 0 || memcmp(chunk, next, part) != 0)
            return -1;
        offset += part;
        next += part;
        bytes -= part;
    }
    return 0;
}

/* Whether `bytes` at `offset` read as erased: 1, 0, or negative. */
static inline int odt_flash_is_erased(const odt_flash_t *flash, uint32_t offset, uint32_t bytes)
{
    uint8_t chunk[ODT_STORE_PROGRAM_MAX];
    while (bytes > 0) {
        const uint32_t part = bytes < sizeof chunk ? bytes : (uint32_t)sizeof chunk;
        if (odt_flash_read(flash, offset, chunk, part) != 0) return -1;
        for (uint32_t i = 0; i < part; i++)
            if (chunk[i] != 0xff) return 0;
        offset += part;
        bytes -= part;
    }
    return 1;
}

#ifdef __cplusplus
}
#endif

#endif
