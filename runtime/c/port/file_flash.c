#include "file_flash.h"

#include <string.h>

/* What is read or written at a time. */
#define CHUNK_BYTES 256u

static int missing; /* whether there is no file yet */

static int in_area(uint32_t offset, uint32_t bytes)
{
    return offset <= FILE_FLASH_BYTES && bytes <= FILE_FLASH_BYTES - offset ? 0 : -1;
}

/* Whether `bytes` of the file are erased. */
static int check_erased(const file_access_t *file, uint32_t offset, uint32_t bytes)
{
    uint8_t chunk[CHUNK_BYTES];
    while (bytes > 0) {
        const uint32_t part = bytes < CHUNK_BYTES ? bytes : CHUNK_BYTES;
        if (file->read(offset, chunk, part) != 0) return -1;
        for (uint32_t i = 0; i < part; i++)
            if (chunk[i] != 0xff) return -1;
        offset += part;
        bytes -= part;
    }
    return 0;
}

static int fill(const file_access_t *file, uint32_t offset, uint32_t bytes)
{
    uint8_t erased[CHUNK_BYTES];
    memset(erased, 0xff, sizeof erased);
    while (bytes > 0) {
        const uint32_t part = bytes < CHUNK_BYTES ? bytes : CHUNK_BYTES;
        if (file->write(offset, erased, part) != 0) return -1;
        offset += part;
        bytes -= part;
    }
    return 0;
}

static int make(const file_access_t *file)
{
    if (!missing) return 0;
    if (file->create() != 0 || fill(file, 0, FILE_FLASH_BYTES) != 0) return -1;
    missing = 0;
    return 0;
}

static int flash_read(void *context, uint32_t offset, void *data, uint32_t bytes)
{
    const file_access_t *file = (const file_access_t *)context;
    if (in_area(offset, bytes) != 0) return -1;
    if (!missing) return file->read(offset, data, bytes);
    memset(data, 0xff, bytes);
    return 0;
}

static int flash_program(void *context, uint32_t offset, const void *data, uint32_t bytes)
{
    const file_access_t *file = (const file_access_t *)context;
    if (in_area(offset, bytes) != 0 || (offset | bytes) % FILE_FLASH_PROGRAM_BYTES != 0) return -1;
    if (make(file) != 0 || check_erased(file, offset, bytes) != 0) return -1;
    return file->write(offset, data, bytes);
}

static int flash_erase(void *context, uint32_t offset)
{
    const file_access_t *file = (const file_access_t *)context;
    if (in_area(offset, FILE_FLASH_BLOCK_BYTES) != 0 || offset % FILE_FLASH_BLOCK_BYTES != 0)
        return -1;
    return make(file) == 0 ? fill(file, offset, FILE_FLASH_BLOCK_BYTES) : -1;
}

static int sync(const file_access_t *file)
{
    return file->sync != NULL ? file->sync() : 0;
}

static int flash_sync(void *context)
{
    return sync((const file_access_t *)context);
}

int file_flash_init(odt_flash_t *flash, const file_access_t *file, int32_t bytes)
{
    const uint32_t length = bytes < 0 ? 0 : (uint32_t)bytes;
    if (length > FILE_FLASH_BYTES) return -1;
    missing = bytes < 0;
    /* making it may have been cut */
    if (!missing && length < FILE_FLASH_BYTES &&
        (check_erased(file, 0, length) != 0 ||
         fill(file, length, FILE_FLASH_BYTES - length) != 0 || sync(file) != 0))
        return -1;
    *flash = (odt_flash_t){
        .context = (void *)(uintptr_t)file,
        .read = flash_read,
        .program = flash_program,
        .erase = flash_erase,
        .sync = flash_sync,
        .program_bytes = FILE_FLASH_PROGRAM_BYTES,
        .block_bytes = FILE_FLASH_BLOCK_BYTES,
        .block_count = FILE_FLASH_BLOCKS,
    };
    return 0;
}
