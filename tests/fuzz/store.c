/*
 * store: any flash at all to odt_load() and odt_save().
 *
 * An input is CONTROL_BYTES, see LLVMFuzzerTestOneInput(), then what stands at the beginning of
 * either slot, half of the rest each. A reader of its own says what the store has to make of that:
 *
 * - odt_load() finds the newest image, or says why there is none and changes nothing, also where
 *   the flash cannot be read.
 * - odt_save() then succeeds whatever was there, and what was saved is found.
 * - Where it fails, or power is lost in it, the image that was the newest is found, or the new one.
 */
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "fuzz.h"

#define CONTROL_BYTES 8u
#define FORMAT 0x3153444fu
#define CRC_AT (ODT_STORE_HEADER_BYTES - 4u)
#define PARAMS_BYTES ((uint32_t)sizeof(odt_params_t))

/* Units, blocks and their number; the last slots are just large enough. */
static const uint32_t geometries[][3] = {
    {1, 512, 4}, {4, 512, 8}, {16, 1024, 3}, {256, 1024, 4}, {8, 704, 2}};
#define GEOMETRIES (sizeof geometries / sizeof geometries[0])

/* The fields of a header by their place. */
enum field {
    AT_FORMAT = 0, AT_HASH = 4, AT_SEQUENCE = 8, AT_RATE = 20, AT_SEED = 24, AT_STEPS = 28,
    AT_PARAMS_BYTES = 32, AT_PARAMS_CRC = 36
};

static nor_t nor;
static uint8_t arena[ODT_ARENA_BYTES];

static uint32_t slot_bytes(void)
{
    return nor.size / nor.block / 2 * nor.block;
}

static uint32_t params_at(void)
{
    return (ODT_STORE_HEADER_BYTES + nor.unit - 1) / nor.unit * nor.unit;
}

static const uint8_t *slot(int number)
{
    return nor.bytes + (number == 0 ? 0 : slot_bytes());
}

/* Whether there is an image at all, and whether it is one of this model. */
static int holds_image(const uint8_t *at)
{
    const uint32_t bytes = fuzz_get32(at + AT_PARAMS_BYTES);
    return fuzz_get32(at + CRC_AT) == fuzz_crc(at, CRC_AT) &&
           bytes <= slot_bytes() - params_at() &&
           fuzz_get32(at + AT_PARAMS_CRC) == fuzz_crc(at + params_at(), bytes);
}

static int is_ours(const uint8_t *at)
{
    return holds_image(at) && fuzz_get32(at + AT_FORMAT) == FORMAT &&
           fuzz_get32(at + AT_HASH) == ODT_MODEL_HASH &&
           fuzz_get32(at + AT_PARAMS_BYTES) == PARAMS_BYTES;
}

static int is_blank(const uint8_t *at)
{
    for (uint32_t i = 0; i < ODT_STORE_HEADER_BYTES; i++)
        if (at[i] != 0xff) return 0;
    return 1;
}

/* The slot of the newest image of this model, or NULL. */
static const uint8_t *newest(void)
{
    const uint8_t *a = slot(0), *b = slot(1);
    if (!is_ours(a) || !is_ours(b)) return is_ours(a) ? a : is_ours(b) ? b : NULL;
    return fuzz_get32(b + AT_SEQUENCE) - fuzz_get32(a + AT_SEQUENCE) - 1u < 0x7fffffffu ? b : a;
}

static void fresh(odt_t *odt)
{
    memset(odt, 0, sizeof *odt); /* padding too, for memcmp */
    CHECK(odt_init(odt, arena, sizeof arena) == ODT_OK);
}

/* What an image of this model makes of a fresh one. */
static int read_image(const uint8_t *at, odt_t *odt)
{
    float rate;
    fresh(odt);
    memcpy(&rate, at + AT_RATE, sizeof rate);
    if (odt_set_learning_rate(odt, rate) != ODT_OK) return ODT_ERR_CORRUPT;
    odt->seed = fuzz_get32(at + AT_SEED);
    odt->steps = fuzz_get32(at + AT_STEPS);
    memcpy(&odt->params, at + params_at(), PARAMS_BYTES);
    return ODT_OK;
}

/* What odt_load() has to make of it with the flash as it is. */
static int expected_load(odt_t *odt)
{
    fresh(odt);
    if (newest() != NULL) return read_image(newest(), odt);
    if (holds_image(slot(0)) || holds_image(slot(1))) return ODT_ERR_FOREIGN;
    return is_blank(slot(0)) && is_blank(slot(1)) ? ODT_ERR_EMPTY : ODT_ERR_CORRUPT;
}

static int load(odt_t *odt)
{
    const odt_flash_t flash = nor_flash(&nor);
    int status;
    fresh(odt);
    status = odt_load(&flash, odt, NULL);
    CHECK(nor.violations == 0);
    return status;
}

static int same(const odt_t *a, const odt_t *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static void check_load(void)
{
    odt_t expected, found;
    const int status = expected_load(&expected);
    CHECK(load(&found) == status);
    CHECK(same(&found, &expected));
}

/* A read fails or comes out wrong: what is found is an image, or nothing of one. */
static void check_load_that_fails(void)
{
    odt_t image, found;
    const int status = load(&found);
    int known = 0;
    for (int i = 0; i < 2; i++)
        known |= is_ours(slot(i)) && read_image(slot(i), &image) == ODT_OK && same(&found, &image);
    fresh(&image);
    CHECK(status == ODT_OK ? known : same(&found, &image));
    CHECK(status == ODT_OK || (status <= ODT_ERR_FLASH && status >= ODT_ERR_CORRUPT));
}

/* Whether neither slot holds half an image: an erase that stops midway may make it whole again. */
static int is_clean(void)
{
    return (holds_image(slot(0)) || is_blank(slot(0))) &&
           (holds_image(slot(1)) || is_blank(slot(1)));
}

/* Saves this state of device.c; the flash may fail meanwhile. */
static void check_save(uint32_t state)
{
    odt_t before, after;
    uint32_t found;
    const int was_there = load(&before) == ODT_OK, was_clean = is_clean();
    const int status = device_save(&nor, state, NULL);
    CHECK(status == ODT_OK || (status == ODT_ERR_FLASH && nor.operations > nor.fail_at));
    CHECK(nor.violations == 0);
    nor_restart(&nor);
    check_load();
    const int is_new = device_load(&nor, &found, NULL) == ODT_OK && found == state;
    const int is_there = load(&after) == ODT_OK;
    const int is_old = is_there == was_there && same(&after, &before);
    CHECK(is_there >= was_there);
    CHECK(is_new || (status != ODT_OK && (is_old || !was_clean)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint32_t *geometry;
    size_t half;
    if (size < CONTROL_BYTES) return 0;
    geometry = geometries[data[0] % GEOMETRIES];
    nor_init(&nor, geometry[0], geometry[1], geometry[2]);
    half = (size - CONTROL_BYTES) / 2;
    if (half > slot_bytes()) half = slot_bytes();
    memcpy(nor.bytes, data + CONTROL_BYTES, half);
    memcpy(nor.bytes + slot_bytes(), data + CONTROL_BYTES + half, half);
    check_load();

    nor_restart(&nor);
    *(data[1] & 1u ? &nor.flip_read_at : &nor.fail_read_at) = data[2];
    check_load_that_fails();

    nor_restart(&nor);
    nor.fail_at = data[3];
    nor.power_fails = data[1] >> 1 & 1;
    nor.cut = (enum nor_cut)(data[4] % CUT_KINDS);
    nor.amount = fuzz_get16(data + 5);
    check_save(1u + data[7]);
    check_save(1000u + data[7]);
    return 0;
}

/* Makes the checksums of an image right, and now and then what they are of. */
static void repair(uint8_t *image, size_t size, uint32_t unit, uint32_t *random)
{
    const size_t params = (ODT_STORE_HEADER_BYTES + unit - 1) / unit * unit;
    if (size < params + PARAMS_BYTES) return;
    if (fuzz_below(random, 4) != 0) fuzz_put32(image + AT_FORMAT, FORMAT);
    if (fuzz_below(random, 4) != 0) fuzz_put32(image + AT_HASH, ODT_MODEL_HASH);
    if (fuzz_below(random, 4) != 0) fuzz_put32(image + AT_PARAMS_BYTES, PARAMS_BYTES);
    if (fuzz_below(random, 4) != 0) fuzz_put32(image + AT_RATE, 0x3d000000u); /* 0.03 */
    if (fuzz_get32(image + AT_PARAMS_BYTES) <= size - params)
        fuzz_put32(image + AT_PARAMS_CRC,
                   fuzz_crc(image + params, fuzz_get32(image + AT_PARAMS_BYTES)));
    fuzz_put32(image + CRC_AT, fuzz_crc(image, CRC_AT));
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    uint32_t random = seed;
    size = LLVMFuzzerMutate(data, size, max_size);
    if (size < CONTROL_BYTES) return size;
    const size_t half = (size - CONTROL_BYTES) / 2;
    const uint32_t unit = geometries[data[0] % GEOMETRIES][0];
    for (size_t i = 0; i < 2; i++)
        if (fuzz_below(&random, 4) != 0)
            repair(data + CONTROL_BYTES + i * half, half, unit, &random);
    return size;
}
