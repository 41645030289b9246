#include "odt_store.h"

#include <string.h>

#include "odt_crc.h"
#include "odt_replay_area.h"

#define FORMAT 0x3153444fu /* "ODS1": the meaning of every byte of an image */

/* The beginning of an image; the parameters follow it. Any later format keeps the size of this,
 * its first word and its last, so that it can be told from a damaged one. */
typedef struct header {
    uint32_t format;
    uint32_t model_hash;
    uint32_t sequence;
    uint32_t erases[2]; /* of either slot, as known when this was written */
    float learning_rate;
    uint32_t seed;
    uint32_t steps;
    uint32_t params_bytes;
    uint32_t params_crc;
    uint32_t zero; /* makes whole units of up to 16 bytes */
    uint32_t crc; /* of all before it */
} header_t;

typedef char header_has_its_size[sizeof(header_t) == ODT_STORE_HEADER_BYTES ? 1 : -1];

enum content { BLANK, DAMAGED, FOREIGN, OURS };

typedef struct slot {
    uint32_t start; /* offset in the area */
    enum content content;
    header_t header; /* if content is FOREIGN or OURS */
} slot_t;

/* Both slots and what follows from them. */
typedef struct area {
    slot_t slots[2];
    int newest; /* the slot of the newest image of this model; -1: there is none */
    odt_store_info_t info;
} area_t;

static uint32_t params_offset(const odt_flash_t *flash)
{
    return odt_flash_padded(flash, sizeof(header_t));
}

static uint32_t slot_bytes(const odt_flash_t *flash)
{
    const uint32_t replay = ODT_REPLAY_BLOCKS(flash->program_bytes, flash->block_bytes);
    return (flash->block_count - replay) / 2 * flash->block_bytes;
}

static uint32_t min(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static int check_flash(const odt_flash_t *flash)
{
    const uint32_t unit = flash->program_bytes;
    if (flash->read == NULL || flash->program == NULL || flash->erase == NULL) return ODT_ERR_NULL;
    if (unit == 0 || unit > ODT_STORE_PROGRAM_MAX || (unit & (unit - 1)) != 0 ||
        flash->block_bytes == 0 || flash->block_bytes % unit != 0 ||
        flash->block_count > UINT32_MAX / flash->block_bytes ||
        flash->block_count < 2 + ODT_REPLAY_BLOCKS(unit, flash->block_bytes) ||
        slot_bytes(flash) < ODT_STORE_IMAGE_BYTES(unit))
        return ODT_ERR_GEOMETRY;
    return ODT_OK;
}

static int read_flash(const odt_flash_t *flash, uint32_t offset, void *data, uint32_t bytes)
{
    return odt_flash_read(flash, offset, data, bytes) == 0 ? ODT_OK : ODT_ERR_FLASH;
}

/* Never inlined: its buffer would lie on the stack while odt_save() looks for a slot. */
__attribute__((noinline)) static int program(const odt_flash_t *flash, uint32_t offset,
                                             const void *data, uint32_t bytes)
{
    return odt_flash_program(flash, offset, data, bytes) == 0 ? ODT_OK : ODT_ERR_FLASH;
}

/* CRC-32 of flash, into *crc. */
static int checksum(const odt_flash_t *flash, uint32_t offset, uint32_t bytes, uint32_t *crc)
{
    uint8_t chunk[ODT_STORE_PROGRAM_MAX];
    *crc = 0;
    while (bytes > 0) {
        const uint32_t part = min(bytes, sizeof chunk);
        if (read_flash(flash, offset, chunk, part) != ODT_OK) return ODT_ERR_FLASH;
        *crc = odt_crc32(*crc, chunk, part);
        offset += part;
        bytes -= part;
    }
    return ODT_OK;
}

static int is_blank(const header_t *header)
{
    const uint8_t *byte = (const uint8_t *)header;
    for (uint32_t i = 0; i < sizeof *header; i++)
        if (byte[i] != 0xff) return 0;
    return 1;
}

/* Finds out what one slot holds. Trusts nothing in it before its CRC was found right. */
static int inspect_slot(const odt_flash_t *flash, slot_t *slot)
{
    header_t *header = &slot->header;
    uint32_t crc;
    int status = read_flash(flash, slot->start, header, sizeof *header);
    if (status != ODT_OK) return status;
    slot->content = is_blank(header) ? BLANK : DAMAGED;
    if (header->crc != odt_crc32(0, header, offsetof(header_t, crc))) return ODT_OK;
    if (header->params_bytes > slot_bytes(flash) - params_offset(flash)) return ODT_OK;
    status = checksum(flash, slot->start + params_offset(flash), header->params_bytes, &crc);
    if (status != ODT_OK || crc != header->params_crc) return status;
    slot->content = header->format == FORMAT && header->model_hash == ODT_MODEL_HASH &&
                            header->params_bytes == sizeof(odt_params_t)
                        ? OURS
                        : FOREIGN;
    return ODT_OK;
}

/* Whether sequence number `a` comes after `b`: numbers wrap around, and two slots are near. */
static int is_later(uint32_t a, uint32_t b)
{
    return a - b < 0x80000000u && a != b;
}

/* Finds out what the area holds. */
static int inspect(const odt_flash_t *flash, area_t *area)
{
    memset(area, 0, sizeof *area);
    area->newest = -1;
    for (int i = 0; i < 2; i++) {
        slot_t *slot = &area->slots[i];
        slot->start = (uint32_t)i * slot_bytes(flash);
        if (inspect_slot(flash, slot) != ODT_OK) return ODT_ERR_FLASH;
        if (slot->content != OURS) continue;
        if (area->newest < 0 || is_later(slot->header.sequence, area->info.sequence)) {
            area->newest = i;
            area->info.sequence = slot->header.sequence;
        }
    }
    /* Either header may know of the later erase; wear stays when the model changes. */
    for (int i = 0; i < 2; i++) {
        const header_t *header = &area->slots[i].header;
        if (area->slots[i].content < FOREIGN || header->format != FORMAT) continue;
        for (int j = 0; j < 2; j++)
            if (header->erases[j] > area->info.erases[j]) area->info.erases[j] = header->erases[j];
    }
    return ODT_OK;
}

/* Why there is no image to load. */
static int explain(const area_t *area)
{
    const enum content a = area->slots[0].content, b = area->slots[1].content;
    if (a == FOREIGN || b == FOREIGN) return ODT_ERR_FOREIGN;
    return a == BLANK && b == BLANK ? ODT_ERR_EMPTY : ODT_ERR_CORRUPT;
}

/* Erases what an image needs of a slot; its header goes first. */
static int erase_image(const odt_flash_t *flash, uint32_t start)
{
    const uint32_t end = start + ODT_STORE_IMAGE_BYTES(flash->program_bytes);
    for (uint32_t offset = start; offset < end; offset += flash->block_bytes)
        if (flash->erase(flash->context, offset) != 0) return ODT_ERR_FLASH;
    return ODT_OK;
}

/* Writes an image. Its header, without which it is none, comes when all else is in the flash. */
static int write_image(const odt_flash_t *flash, uint32_t start, const header_t *header,
                       const odt_params_t *params)
{
    int status = erase_image(flash, start);
    if (status == ODT_OK)
        status = program(flash, start + params_offset(flash), params, sizeof *params);
    if (status != ODT_OK) return status;
    status = program(flash, start, header, sizeof *header);
    /* A header that failed may have become whole nevertheless. */
    if (status != ODT_OK) (void)flash->erase(flash->context, start);
    return status;
}

/* The slot to write: never that of the newest image; else rather one that holds nothing. */
static int choose_slot(const area_t *area)
{
    if (area->newest >= 0) return 1 - area->newest;
    return area->slots[0].content <= area->slots[1].content ? 0 : 1;
}

int odt_save(const odt_flash_t *flash, const odt_t *odt, odt_store_info_t *info)
{
    area_t area;
    int status, target;
    if (flash == NULL || odt == NULL || odt->arena == NULL) return ODT_ERR_NULL;
    status = check_flash(flash);
    if (status == ODT_OK) status = inspect(flash, &area);
    if (status != ODT_OK) return status;

    target = choose_slot(&area);
    area.info.sequence++;
    area.info.erases[target]++;
    header_t header = {
        .format = FORMAT,
        .model_hash = ODT_MODEL_HASH,
        .sequence = area.info.sequence,
        .erases = {area.info.erases[0], area.info.erases[1]},
        .learning_rate = odt->learning_rate,
        .seed = odt->seed,
        .steps = odt->steps,
        .params_bytes = sizeof odt->params,
        .params_crc = odt_crc32(0, &odt->params, sizeof odt->params),
    };
    header.crc = odt_crc32(0, &header, offsetof(header_t, crc));
    status = write_image(flash, area.slots[target].start, &header, &odt->params);
    if (status == ODT_OK && info != NULL) *info = area.info;
    return status;
}

/* Copies an image that was found valid. */
static int copy_image(const odt_flash_t *flash, const slot_t *slot, odt_t *odt)
{
    const header_t *header = &slot->header;
    /* Refused, this changes nothing. */
    if (odt_set_learning_rate(odt, header->learning_rate) != ODT_OK) return ODT_ERR_CORRUPT;
    odt->seed = header->seed;
    odt->steps = header->steps;

    int status = read_flash(flash, slot->start + params_offset(flash), &odt->params,
                            sizeof odt->params);
    if (status == ODT_OK && odt_crc32(0, &odt->params, sizeof odt->params) != header->params_crc)
        status = ODT_ERR_CORRUPT;
    if (status != ODT_OK) (void)odt_init(odt, odt->arena, ODT_ARENA_BYTES);
    return status;
}

int odt_load(const odt_flash_t *flash, odt_t *odt, odt_store_info_t *info)
{
    area_t area;
    int status;
    if (flash == NULL || odt == NULL || odt->arena == NULL) return ODT_ERR_NULL;
    status = check_flash(flash);
    if (status == ODT_OK) status = inspect(flash, &area);
    if (status == ODT_OK && area.newest < 0) status = explain(&area);
    if (status == ODT_OK) status = copy_image(flash, &area.slots[area.newest], odt);
    if (status == ODT_OK && info != NULL) *info = area.info;
    return status;
}

/* Erases every block, also behind one that fails. */
static int erase_all(const odt_flash_t *flash)
{
    int status = ODT_OK;
    for (uint32_t block = 0; block < flash->block_count; block++) {
        const uint32_t offset = block * flash->block_bytes;
        if (flash->erase(flash->context, offset) != 0 ||
            (flash->sync != NULL && flash->sync(flash->context) != 0) ||
            odt_flash_is_erased(flash, offset, flash->block_bytes) != 1)
            status = ODT_ERR_FLASH;
    }
    return status;
}

int odt_forget(const odt_flash_t *flash, odt_t *odt)
{
    int status;
    if (odt == NULL || odt->arena == NULL) return ODT_ERR_NULL;
    uint8_t *const arena = odt->arena;
    memset(arena, 0, ODT_ARENA_BYTES);
    memset(odt, 0, sizeof *odt);
    status = odt_init(odt, arena, ODT_ARENA_BYTES);
    if (status != ODT_OK || flash == NULL) return status;
    status = check_flash(flash);
    return status == ODT_OK ? erase_all(flash) : status;
}
