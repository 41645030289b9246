#include "nor.h"

#include <string.h>

uint32_t nor_noise(nor_t *nor)
{
    nor->noise ^= nor->noise << 13;
    nor->noise ^= nor->noise >> 17;
    nor->noise ^= nor->noise << 5;
    return nor->noise;
}

static int violation(nor_t *nor)
{
    nor->violations++;
    return -1;
}

static int outside(const nor_t *nor, uint32_t offset, uint32_t bytes)
{
    return offset > nor->size || bytes > nor->size - offset;
}

/* Changes `bytes` from `offset` on as this operation does, or as far as it gets. A program works
 * its way from erased to `wanted`, an erase (NULL) from what is there to 0xff. */
static int operate(nor_t *nor, uint32_t offset, const uint8_t *wanted, uint32_t bytes)
{
    const int fails = nor->operations++ == nor->fail_at;
    const uint32_t done = fails && nor->amount < bytes ? nor->amount : bytes;
    uint8_t *at = nor->bytes + offset;
    nor->last_bytes = bytes;
    for (uint32_t i = 0; i < bytes; i++) {
        const int whole = nor->cut == CUT_TAIL ? i >= bytes - done : i < done;
        const int partly = nor->cut == CUT_SCATTER || (nor->cut == CUT_BITS && i == done);
        const uint8_t erased = wanted == NULL ? 0xff : 0;
        const uint8_t target = wanted == NULL ? at[i] : wanted[i];
        if (whole)
            at[i] = target | erased;
        else if (partly)
            at[i] = (uint8_t)(target | nor_noise(nor));
    }
    if (fails) nor->powerless = nor->power_fails;
    return fails ? -1 : 0;
}

static int nor_read(void *context, uint32_t offset, void *data, uint32_t bytes)
{
    nor_t *nor = (nor_t *)context;
    const uint32_t read = nor->reads++;
    if (outside(nor, offset, bytes)) return violation(nor);
    if (nor->powerless || read == nor->fail_read_at) return -1;
    memcpy(data, nor->bytes + offset, bytes);
    if (read == nor->flip_read_at) *(uint8_t *)data ^= 1u;
    return 0;
}

static int nor_program(void *context, uint32_t offset, const void *data, uint32_t bytes)
{
    nor_t *nor = (nor_t *)context;
    int status;
    if (nor->powerless) return -1;
    if (outside(nor, offset, bytes) || bytes == 0 || offset % nor->unit || bytes % nor->unit ||
        offset / nor->block != (offset + bytes - 1) / nor->block)
        return violation(nor);
    for (uint32_t i = 0; i < bytes; i++)
        if (nor->bytes[offset + i] != 0xff) return violation(nor);

    status = operate(nor, offset, (const uint8_t *)data, bytes);
    if (nor->stuck >= offset && nor->stuck < offset + bytes) nor->bytes[nor->stuck] |= 1u;
    return status;
}

static int nor_erase(void *context, uint32_t offset)
{
    nor_t *nor = (nor_t *)context;
    if (nor->powerless) return -1;
    if (outside(nor, offset, nor->block) || offset % nor->block) return violation(nor);
    return operate(nor, offset, NULL, nor->block);
}

void nor_init(nor_t *nor, uint32_t unit, uint32_t block, uint32_t count)
{
    memset(nor, 0, sizeof *nor);
    memset(nor->bytes, 0xff, sizeof nor->bytes);
    nor->size = block * count;
    nor->unit = unit;
    nor->block = block;
    nor->noise = 0x9e3779b9u;
    nor->stuck = NEVER;
    nor_restart(nor);
}

void nor_restart(nor_t *nor)
{
    nor->operations = 0;
    nor->reads = 0;
    nor->powerless = 0;
    nor->power_fails = 0;
    nor->cut = CUT_CLEAN;
    nor->fail_at = nor->fail_read_at = nor->flip_read_at = NEVER;
}

odt_flash_t nor_flash(nor_t *nor)
{
    return (odt_flash_t){
        .context = nor,
        .read = nor_read,
        .program = nor_program,
        .erase = nor_erase,
        .program_bytes = nor->unit,
        .block_bytes = nor->block,
        .block_count = nor->size / nor->block,
    };
}
