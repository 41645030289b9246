#include "odt_ring.h"

#if defined(ODT_REPLAY_SLOTS) && ODT_REPLAY_IN_FLASH

#include <string.h>

#include "odt_crc.h"
#include "odt_store.h"

#define FORMAT 0x3152444fu /* "ODR1": the meaning of every byte of a group */
#define NOWHERE 0xffffu    /* the place of a group that was never written */

/* The beginning of a group, programmed last; its slots follow. */
typedef struct header {
    uint32_t format;
    uint32_t model_hash;
    uint32_t slots;      /* of the whole ring, */
    uint32_t data_bytes; /* and of the data of each: other groups are another ring's */
    uint32_t group;
    uint32_t sequence; /* of two places with the same group the later counts */
    uint32_t erases;   /* of the ring, as known when this was written */
    uint32_t crc;      /* of all before it */
} header_t;

typedef char header_has_its_size[sizeof(header_t) == ODT_REPLAY_HEADER_BYTES ? 1 : -1];

/* The beginning of a slot; target and data follow. */
typedef struct mark {
    uint32_t seen, seen_of;
    uint32_t crc; /* of the slot, without this word */
} mark_t;

typedef char mark_has_its_size[sizeof(mark_t) == ODT_REPLAY_MARK_BYTES ? 1 : -1];

/* ---- where things lie ---- */

static uint32_t group_slots(const odt_flash_t *flash)
{
    return ODT_REPLAY_GROUP_SLOTS(flash->program_bytes, flash->block_bytes);
}

static uint32_t groups(const odt_flash_t *flash)
{
    return ODT_REPLAY_GROUPS(flash->program_bytes, flash->block_bytes);
}

static uint32_t group_bytes(const odt_flash_t *flash)
{
    return ODT_REPLAY_GROUP_BYTES(flash->program_bytes, flash->block_bytes);
}

static uint32_t place_start(const odt_flash_t *flash, uint32_t place)
{
    const uint32_t blocks = ODT_REPLAY_BLOCKS(flash->program_bytes, flash->block_bytes);
    return (flash->block_count - blocks) * flash->block_bytes + place * group_bytes(flash);
}

/* Of a slot, where its group lies or is to lie. */
static uint32_t slot_start(const odt_flash_t *flash, uint32_t place, uint32_t slot)
{
    return place_start(flash, place) + odt_flash_padded(flash, ODT_REPLAY_HEADER_BYTES) +
           slot % group_slots(flash) * ODT_REPLAY_SLOT_BYTES(flash->program_bytes);
}

static uint32_t target_start(const odt_flash_t *flash, uint32_t start)
{
    return start + odt_flash_padded(flash, ODT_REPLAY_MARK_BYTES);
}

static uint32_t data_start(const odt_flash_t *flash, uint32_t start)
{
    return target_start(flash, start) + odt_flash_padded(flash, ODT_REPLAY_TARGET_BYTES);
}

/* ---- reading ---- */

/* A checksum of the numbers of a mark, to go on with target and data. */
static uint32_t begin_checksum(const mark_t *mark)
{
    return odt_crc32(0, mark, offsetof(mark_t, crc));
}

/* Reads what lies at `start`: the target into the replay, the data into `data` or, NULL, nowhere.
 * ODT_ERR_CORRUPT if it is no whole slot. */
static int read_slot(odt_replay_t *replay, uint32_t start, mark_t *mark, void *data)
{
    const odt_flash_t *flash = replay->flash;
    uint8_t chunk[64];
    uint32_t crc;
    if (odt_flash_read(flash, start, mark, sizeof *mark) != 0 ||
        odt_flash_read(flash, target_start(flash, start), replay->target,
                       ODT_REPLAY_TARGET_BYTES) != 0)
        return ODT_ERR_FLASH;
    crc = odt_crc32(begin_checksum(mark), replay->target, ODT_REPLAY_TARGET_BYTES);
    for (uint32_t at = 0; at < ODT_REPLAY_DATA_BYTES; at += (uint32_t)sizeof chunk) {
        const uint32_t rest = ODT_REPLAY_DATA_BYTES - at;
        const uint32_t part = rest < sizeof chunk ? rest : (uint32_t)sizeof chunk;
        if (odt_flash_read(flash, data_start(flash, start) + at, chunk, part) != 0)
            return ODT_ERR_FLASH;
        crc = odt_crc32(crc, chunk, part);
        if (data != NULL) memcpy((uint8_t *)data + at, chunk, part);
    }
    return crc == mark->crc ? ODT_OK : ODT_ERR_CORRUPT;
}

static int is_ours(const header_t *header, const odt_flash_t *flash)
{
    return header->crc == odt_crc32(0, header, offsetof(header_t, crc)) &&
           header->format == FORMAT && header->model_hash == ODT_MODEL_HASH &&
           header->slots == ODT_REPLAY_SLOTS && header->data_bytes == ODT_REPLAY_DATA_BYTES &&
           header->group < groups(flash);
}

static int read_header(const odt_flash_t *flash, uint32_t place, header_t *header)
{
    return odt_flash_read(flash, place_start(flash, place), header, sizeof *header) == 0
               ? ODT_OK
               : ODT_ERR_FLASH;
}

/* Notes where each group lies. */
static int find_groups(odt_replay_t *replay)
{
    const odt_flash_t *flash = replay->flash;
    memset(replay->places, 0xff, sizeof replay->places);
    for (uint32_t place = 0; place <= groups(flash); place++) {
        header_t header, other = {.sequence = 0};
        uint16_t *known;
        if (read_header(flash, place, &header) != ODT_OK) return ODT_ERR_FLASH;
        if (!is_ours(&header, flash)) continue;
        known = &replay->places[header.group];
        if (*known != NOWHERE && read_header(flash, *known, &other) != ODT_OK)
            return ODT_ERR_FLASH;
        if (*known == NOWHERE || header.sequence > other.sequence) *known = (uint16_t)place;
        if (header.sequence > replay->sequence) replay->sequence = header.sequence;
        if (header.erases > replay->erases) replay->erases = header.erases;
    }
    return ODT_OK;
}

/* Notes what a slot holds that was found whole; a label that cannot be is not the model's. */
static void note(odt_replay_t *replay, uint32_t slot, const mark_t *mark)
{
    const uint16_t label = odt_ring_label(replay->target);
#if ODT_REPLAY_HAS_LABELS
    if (label >= ODT_OUTPUT_ELEMENTS) return;
#endif
    replay->labels[slot] = label;
    if (mark->seen > replay->seen) replay->seen = mark->seen;
#if ODT_REPLAY_POLICY == ODT_REPLAY_BALANCED
    if (mark->seen_of > replay->seen_of[label]) replay->seen_of[label] = mark->seen_of;
#endif
}

/* Notes what each slot holds. */
static int find_slots(odt_replay_t *replay)
{
    for (uint32_t slot = 0; slot < ODT_REPLAY_SLOTS; slot++) {
        const uint32_t place = replay->places[slot / group_slots(replay->flash)];
        mark_t mark;
        int status;
        if (place == NOWHERE) continue;
        status = read_slot(replay, slot_start(replay->flash, place, slot), &mark, NULL);
        if (status == ODT_ERR_FLASH) return status;
        if (status == ODT_OK) note(replay, slot, &mark);
    }
    return ODT_OK;
}

static int check_flash(const odt_flash_t *flash)
{
    const uint32_t unit = flash->program_bytes, block = flash->block_bytes;
    if (flash->read == NULL || flash->program == NULL || flash->erase == NULL) return ODT_ERR_NULL;
    if (unit == 0 || unit > ODT_STORE_PROGRAM_MAX || (unit & (unit - 1)) != 0 || block == 0 ||
        block % unit != 0 || flash->block_count > UINT32_MAX / block ||
        flash->block_count < ODT_REPLAY_BLOCKS(unit, block))
        return ODT_ERR_GEOMETRY;
    return ODT_OK;
}

int odt_ring_open(odt_replay_t *replay, const odt_flash_t *flash)
{
    int status = flash == NULL ? ODT_ERR_NULL : check_flash(flash);
    replay->flash = flash;
    if (status == ODT_OK) status = find_groups(replay);
    return status == ODT_OK ? find_slots(replay) : status;
}

int odt_ring_read(odt_replay_t *replay, uint32_t slot, void *data)
{
    const uint32_t place = replay->places[slot / group_slots(replay->flash)];
    mark_t mark;
    return read_slot(replay, slot_start(replay->flash, place, slot), &mark, data);
}

/* ---- writing ---- */

/* Programs a slot in erased flash; its mark, without which it is none, comes last. */
static int program_slot(const odt_flash_t *flash, uint32_t start, mark_t mark,
                        const odt_target_t *target, const void *data)
{
    mark.crc = odt_crc32(begin_checksum(&mark), target, ODT_REPLAY_TARGET_BYTES);
    mark.crc = odt_crc32(mark.crc, data, ODT_REPLAY_DATA_BYTES);
    if (odt_flash_program(flash, target_start(flash, start), target, ODT_REPLAY_TARGET_BYTES) != 0 ||
        odt_flash_program(flash, data_start(flash, start), data, ODT_REPLAY_DATA_BYTES) != 0 ||
        odt_flash_program(flash, start, &mark, sizeof mark) != 0)
        return ODT_ERR_FLASH;
    return ODT_OK;
}

/* Copies a slot into erased flash, as it is. */
static int copy_slot(const odt_flash_t *flash, uint32_t from, uint32_t to)
{
    uint8_t chunk[ODT_STORE_PROGRAM_MAX];
    uint32_t bytes = ODT_REPLAY_SLOT_BYTES(flash->program_bytes);
    while (bytes > 0) {
        const uint32_t part = bytes < sizeof chunk ? bytes : (uint32_t)sizeof chunk;
        if (odt_flash_read(flash, from, chunk, part) != 0 ||
            odt_flash_program(flash, to, chunk, part) != 0)
            return ODT_ERR_FLASH;
        from += part;
        to += part;
        bytes -= part;
    }
    return ODT_OK;
}

static int is_taken(const odt_replay_t *replay, uint32_t place)
{
    for (uint32_t group = 0; group < groups(replay->flash); group++)
        if (replay->places[group] == place) return 1;
    return 0;
}

/* A place that no group needs: there is one more than there are groups. */
static uint32_t free_place(const odt_replay_t *replay)
{
    uint32_t place = 0;
    while (is_taken(replay, place)) place++;
    return place;
}

static int erase_place(odt_replay_t *replay, uint32_t place)
{
    const odt_flash_t *flash = replay->flash;
    const uint32_t start = place_start(flash, place);
    for (uint32_t at = 0; at < group_bytes(flash); at += flash->block_bytes) {
        replay->erases++;
        if (flash->erase(flash->context, start + at) != 0) return ODT_ERR_FLASH;
    }
    return ODT_OK;
}

static int program_header(odt_replay_t *replay, uint32_t place, uint32_t group)
{
    header_t header = {
        .format = FORMAT,
        .model_hash = ODT_MODEL_HASH,
        .slots = ODT_REPLAY_SLOTS,
        .data_bytes = ODT_REPLAY_DATA_BYTES,
        .group = group,
        .sequence = ++replay->sequence,
        .erases = replay->erases,
    };
    header.crc = odt_crc32(0, &header, offsetof(header_t, crc));
    if (odt_flash_program(replay->flash, place_start(replay->flash, place), &header,
                          sizeof header) == 0)
        return ODT_OK;
    /* A header that failed may have become whole nevertheless. */
    (void)erase_place(replay, place);
    return ODT_ERR_FLASH;
}

/* Writes the group of a slot anew, with a sample in that slot and the others as they are. */
static int rewrite_group(odt_replay_t *replay, uint32_t slot, mark_t mark,
                         const odt_target_t *target, const void *data)
{
    const odt_flash_t *flash = replay->flash;
    const uint32_t size = group_slots(flash), group = slot / size, place = free_place(replay);
    int status = erase_place(replay, place);
    for (uint32_t i = group * size; i < (group + 1) * size && status == ODT_OK; i++) {
        const uint32_t start = slot_start(flash, place, i);
        if (i == slot)
            status = program_slot(flash, start, mark, target, data);
        else if (i < ODT_REPLAY_SLOTS && replay->labels[i] != ODT_REPLAY_EMPTY)
            status = copy_slot(flash, slot_start(flash, replay->places[group], i), start);
    }
    if (status == ODT_OK) status = program_header(replay, place, group);
    if (status == ODT_OK) replay->places[group] = (uint16_t)place;
    return status;
}

int odt_ring_write(odt_replay_t *replay, uint32_t slot, uint32_t seen, uint32_t seen_of,
                   const odt_target_t *target, const void *data)
{
    const odt_flash_t *flash = replay->flash;
    const mark_t mark = {.seen = seen, .seen_of = seen_of};
    const uint32_t place = replay->places[slot / group_slots(flash)];
    if (place != NOWHERE && replay->labels[slot] == ODT_REPLAY_EMPTY) {
        const uint32_t start = slot_start(flash, place, slot);
        const uint32_t bytes = ODT_REPLAY_SLOT_BYTES(flash->program_bytes);
        const int erased = odt_flash_is_erased(flash, start, bytes);
        if (erased < 0) return ODT_ERR_FLASH;
        if (erased) return program_slot(flash, start, mark, target, data);
    }
    return rewrite_group(replay, slot, mark, target, data);
}

#endif
