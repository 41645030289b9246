/*
 * protocol: any bytes at all to odt_serve().
 *
 * An input is a byte of `enum control`, the position at which the line stalls once (two bytes),
 * and what arrives. Once all of that is read the line stalls again; then come ODT_STATS and
 * ODT_EXIT, which have to be answered: whatever was sent before, the server still serves. The rest
 * is checked when the server answers:
 *
 * - What it writes are whole frames, with the length that their type has, or errors that are known.
 * - An answer to a request stands right behind a valid frame of that type; a frame that is none
 *   gets one error at most.
 * - The model changes in nothing but what that request is for.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "nor.h"
#include "odt_protocol.h"

#define MAGIC_BYTES 4u
#define HEADER_BYTES 9u
#define CRC_BYTES 4u
#define CONTROL_BYTES 3u
#define MAX_INPUT 16384u
#define SAMPLE_BYTES (ODT_INPUT_ELEMENTS * sizeof(odt_input_t))
#define NO_SAMPLES (-40) /* ODT_ERR_NO_SAMPLES, where there is replay */
#define NO_CLASSES (-9)  /* ODT_ERR_CLASSES, where some can be added */
#define TARGET_BYTES (ODT_TARGET_ELEMENTS * sizeof(odt_target_t))

enum control {
    NO_FLASH = 1, /* the device has none */
    ENDS = 2      /* the stream ends instead */
};

static const uint8_t magic[MAGIC_BYTES] = {'O', 'D', 'T', '1'};

/* The lengths of requests and replies by type; ODT_PUT_PARAMS may be longer, up to the arena. */
static const struct {
    size_t request, reply;
} lengths[] = {
    [ODT_HELLO] = {0, sizeof(odt_hello_t)},
    [ODT_TRAIN] = {SAMPLE_BYTES + TARGET_BYTES, sizeof(float)},
    [ODT_PREDICT] = {SAMPLE_BYTES, ODT_OUTPUT_ELEMENTS * sizeof(float)},
    [ODT_GET_PARAMS] = {0, sizeof(odt_params_t)},
    [ODT_PUT_PARAMS] = {sizeof(uint32_t) + 1, 0},
    [ODT_SET_LR] = {sizeof(float), 0},
    [ODT_SET_SEED] = {sizeof(uint32_t), 0},
    [ODT_STATS] = {0, sizeof(odt_stats_t)},
    [ODT_EXIT] = {0, 0},
    [ODT_EVALUATE] = {SAMPLE_BYTES + TARGET_BYTES, sizeof(odt_evaluation_t)},
    [ODT_SAVE] = {0, sizeof(odt_store_info_t)},
    [ODT_LOAD] = {0, sizeof(odt_store_info_t)},
    [ODT_RESET] = {0, 0},
#ifdef ODT_REPLAY_SLOTS
    [ODT_REMEMBER] = {SAMPLE_BYTES + TARGET_BYTES, sizeof(odt_remembered_t)},
    [ODT_REHEARSE] = {0, sizeof(float)},
#endif
    [ODT_FORGET] = {0, 0},
#ifdef ODT_ADDS_CLASSES
    [ODT_ADD_CLASS] = {0, sizeof(int32_t)},
#endif
#ifdef ODT_IMPRINTS
    [ODT_IMPRINT] = {SAMPLE_BYTES + TARGET_BYTES, 0},
#endif
    [ODT_GET_STATE] = {0, sizeof(odt_state_t)},
    [ODT_PUT_STATE] = {sizeof(odt_state_t), 0},
    [ODT_APPLY] = {0, 0},
};
#define TYPES (sizeof lengths / sizeof lengths[0])

/* The line, the device, and what is known of it. */
static struct {
    uint8_t input[MAX_INPUT + 2 * (HEADER_BYTES + CRC_BYTES)];
    size_t bytes, at;
    size_t stalls[2]; /* positions; each counts once */
    uint8_t frame[HEADER_BYTES + sizeof(odt_params_t) + sizeof(odt_evaluation_t) +
                  sizeof(odt_stats_t) + CRC_BYTES]; /* which the server is writing */
    size_t written;
    int last, last_but_one; /* what it wrote before: types, or error codes */
    odt_t before;           /* the model as it was when the server answered last */
    odt_t saved;            /* and when it was saved last */
    int has_flash;
    nor_t nor;
} line;

static odt_t odt;
static _Alignas(ODT_ARENA_ALIGN) uint8_t arena[ODT_ARENA_BYTES];

static size_t put_frame(uint8_t *to, unsigned type, const uint8_t *payload, size_t bytes)
{
    memcpy(to, magic, MAGIC_BYTES);
    to[MAGIC_BYTES] = (uint8_t)type;
    fuzz_put32(to + MAGIC_BYTES + 1, (uint32_t)bytes);
    if (bytes > 0) memmove(to + HEADER_BYTES, payload, bytes);
    fuzz_put32(to + HEADER_BYTES + bytes,
               fuzz_crc(to + MAGIC_BYTES, HEADER_BYTES - MAGIC_BYTES + bytes));
    return HEADER_BYTES + bytes + CRC_BYTES;
}

/* Whether `at` begins a frame that lies whole within `bytes`. */
static int is_whole(const uint8_t *at, size_t bytes)
{
    return bytes >= HEADER_BYTES + CRC_BYTES && memcmp(at, magic, MAGIC_BYTES) == 0 &&
           fuzz_get32(at + MAGIC_BYTES + 1) <= bytes - HEADER_BYTES - CRC_BYTES;
}

/* There are gaps between the types, and some of them carry nothing either way. */
static int is_known(unsigned type)
{
    return type == ODT_EXIT || type == ODT_RESET || type == ODT_FORGET || type == ODT_APPLY ||
           (type < TYPES && lengths[type].request + lengths[type].reply > 0);
}

/* Whether such a payload of a frame that is whole makes it a request. */
static int is_valid(const uint8_t *frame, size_t payload_bytes)
{
    const unsigned type = frame[MAGIC_BYTES];
    return is_known(type) &&
           (type == ODT_PUT_PARAMS ? payload_bytes >= lengths[type].request
                                   : payload_bytes == lengths[type].request) &&
           fuzz_get32(frame + HEADER_BYTES + payload_bytes) ==
               fuzz_crc(frame + MAGIC_BYTES, HEADER_BYTES - MAGIC_BYTES + payload_bytes);
}

/* The valid request that ends where the server has read to; NULL: there is none. */
static const uint8_t *last_request(void)
{
    const uint8_t *const end = line.input + line.at;
    const uint8_t *frame = line.input;
    while ((frame = memchr(frame, magic[0], (size_t)(end - frame))) != NULL) {
        const size_t bytes = (size_t)(end - frame);
        const size_t payload_bytes = bytes - HEADER_BYTES - CRC_BYTES;
        if (is_whole(frame, bytes) && fuzz_get32(frame + MAGIC_BYTES + 1) == payload_bytes &&
            is_valid(frame, payload_bytes))
            return frame;
        frame++;
    }
    return NULL;
}

static int same(const odt_t *a, const odt_t *b)
{
    return memcmp(&a->params, &b->params, sizeof a->params) == 0 &&
           memcmp(&a->learning_rate, &b->learning_rate, sizeof a->learning_rate) == 0 &&
           a->seed == b->seed && a->steps == b->steps && a->arena == b->arena;
}

/* Nothing is left of samples and parameters. */
static void check_forgotten(void)
{
    for (size_t i = 0; i < sizeof arena; i++) CHECK(arena[i] == 0);
    for (size_t i = 0; line.has_flash && i < line.nor.size; i++) CHECK(line.nor.bytes[i] == 0xff);
}

/* int32 biases are held within 2^30, so that no sum overflows. */
static void limit_biases(odt_params_t *params)
{
#ifdef ODT_BIASES
    static const struct { uint32_t offset, count; } biases[] = {ODT_BIASES};
    for (size_t b = 0; b < sizeof biases / sizeof *biases; b++) {
        int32_t *bias = (int32_t *)(void *)((uint8_t *)params + biases[b].offset);
        for (uint32_t i = 0; i < biases[b].count; i++) {
            if (bias[i] > 1 << 30) bias[i] = 1 << 30;
            if (bias[i] < -(1 << 30)) bias[i] = -(1 << 30);
        }
    }
#else
    (void)params;
#endif
}

/* Checks that a request that was granted changed what it is for, and nothing else. */
static void check_model(unsigned type, const uint8_t *payload)
{
    odt_t expected = line.before;
    switch (type) {
    case ODT_TRAIN:
    case ODT_REHEARSE:
        expected.params = odt.params;
        expected.steps++;
        break;
    case ODT_ADD_CLASS:
    case ODT_IMPRINT:
    case ODT_APPLY: expected.params = odt.params; break;
    case ODT_PUT_PARAMS: {
        const uint32_t offset = fuzz_get32(payload);
        const size_t bytes = fuzz_get32(payload - sizeof(uint32_t)) - sizeof offset;
        CHECK(bytes <= sizeof odt.params && offset <= sizeof odt.params - bytes);
        memcpy((uint8_t *)&expected.params + offset, payload + sizeof offset, bytes);
        limit_biases(&expected.params);
        break;
    }
    case ODT_SET_LR: memcpy(&expected.learning_rate, payload, sizeof(float)); break;
    case ODT_SET_SEED: expected.seed = fuzz_get32(payload); break;
    case ODT_PUT_STATE:
        memcpy(&expected.learning_rate, payload, sizeof(float));
        expected.seed = fuzz_get32(payload + 4);
        expected.steps = fuzz_get32(payload + 8);
        break;
    case ODT_SAVE: line.saved = odt; break;
    case ODT_LOAD: expected = line.saved; break;
    case ODT_FORGET: check_forgotten(); /* fall through */
    case ODT_RESET: CHECK(odt_init(&expected, arena, sizeof arena) == ODT_OK); break;
    default: break;
    }
    CHECK(same(&odt, &expected));
    CHECK(odt.learning_rate >= 0.0f);
}

static int is_of_the_model_or_store(int code)
{
    return (code >= ODT_ERR_DIVERGED && code <= ODT_ERR_LABEL) || code == ODT_ERR_RANGE ||
           code == ODT_ERR_EMPTY || code == ODT_ERR_NO_FLASH || code == NO_SAMPLES ||
           code == NO_CLASSES;
}

/* The line was left in the middle of something, or there never was a frame. */
static int is_of_the_line(int code)
{
    return code == ODT_ERR_TYPE || code == ODT_ERR_LENGTH || code == ODT_ERR_CRC ||
           code == ODT_ERR_TIMEOUT;
}

static void check_error(int code)
{
    CHECK(same(&odt, &line.before));
    if (code == ODT_ERR_SYNC) {
        CHECK(line.last != ODT_ERR_SYNC && !is_of_the_line(line.last));
    } else if (!is_of_the_line(code)) {
        CHECK(is_of_the_model_or_store(code) && last_request() != NULL);
    }
}

/* Checks the frame that the server has written. */
static void check_answer(void)
{
    const uint8_t *payload = line.frame + HEADER_BYTES;
    const size_t length = line.written - HEADER_BYTES - CRC_BYTES;
    const unsigned type = line.frame[MAGIC_BYTES];
    CHECK(fuzz_get32(payload + length) ==
          fuzz_crc(line.frame + MAGIC_BYTES, HEADER_BYTES - MAGIC_BYTES + length));
    line.last_but_one = line.last;
    if (type == ODT_ERROR) {
        CHECK(length == sizeof(int32_t));
        check_error((int)fuzz_get32(payload));
        line.last = (int)fuzz_get32(payload);
    } else {
        const uint8_t *request = last_request();
        CHECK(request != NULL && type == (request[MAGIC_BYTES] | ODT_REPLY));
        CHECK(length == lengths[request[MAGIC_BYTES]].reply);
        check_model(request[MAGIC_BYTES], request + HEADER_BYTES);
        line.last = (int)type;
    }
    line.before = odt;
    line.written = 0;
}

static int line_write(void *context, const void *data, size_t bytes)
{
    (void)context;
    CHECK(bytes <= sizeof line.frame - line.written);
    memcpy(line.frame + line.written, data, bytes);
    line.written += bytes;
    CHECK(memcmp(line.frame, magic, line.written < MAGIC_BYTES ? line.written : MAGIC_BYTES) == 0);
    if (is_whole(line.frame, line.written)) check_answer();
    return 0;
}

static int line_read(void *context, void *data, size_t bytes, enum odt_patience patience)
{
    (void)context;
    for (size_t i = 0; i < bytes; i++, line.at++) {
        for (int j = 0; j < 2; j++) {
            if (line.at != line.stalls[j]) continue;
            line.stalls[j] = SIZE_MAX;
            if (patience == ODT_HURRY) return ODT_ERR_TIMEOUT;
        }
        if (line.at == line.bytes) return -1;
        ((uint8_t *)data)[i] = line.input[line.at];
    }
    return 0;
}

/* Sets the line up. */
static void start(const uint8_t *data, size_t size)
{
    memset(&line, 0, offsetof(__typeof__(line), nor));
    line.bytes = size - CONTROL_BYTES < MAX_INPUT ? size - CONTROL_BYTES : MAX_INPUT;
    memcpy(line.input, data + CONTROL_BYTES, line.bytes);
    line.stalls[0] = fuzz_get16(data + 1) % (line.bytes + 1);
    line.stalls[1] = line.bytes;
    if (data[0] & ENDS) return;
    line.bytes += put_frame(line.input + line.bytes, ODT_STATS, NULL, 0);
    line.bytes += put_frame(line.input + line.bytes, ODT_EXIT, NULL, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    odt_message_t message;
    odt_flash_t flash;
    odt_io_t io = {.read = line_read, .write = line_write};
    int status = ODT_OK;
    if (size < CONTROL_BYTES) return 0;
    start(data, size);
    nor_init(&line.nor, 8, 4096, 8);
    flash = nor_flash(&line.nor);
    line.has_flash = !(data[0] & NO_FLASH);
    if (line.has_flash) io.flash = &flash;
#ifdef ODT_REPLAY_SLOTS
    static odt_replay_t replay;
    io.replay = &replay;
    (void)odt_replay_init(&replay, io.flash);
#endif
    memset(&message, 0, sizeof message);
    memset(&odt, 0, sizeof odt);
    CHECK(odt_init(&odt, arena, sizeof arena) == ODT_OK);
    line.before = odt;
    while (status == ODT_OK && line.at < line.bytes) { /* after ODT_EXIT another host may come */
        status = odt_serve(&io, &odt, &message);
        CHECK(line.written == 0);
    }
    if (data[0] & ENDS)
        CHECK(status == ODT_OK || status == ODT_ERR_IO);
    else
        CHECK(status == ODT_OK && line.last_but_one == (ODT_STATS | ODT_REPLY) &&
              line.last == (ODT_EXIT | ODT_REPLY));
    CHECK(line.nor.violations == 0);
    return 0;
}

/* Makes the checksums right of all frames that are whole. */
static void repair(uint8_t *data, size_t size)
{
    for (size_t at = CONTROL_BYTES; at < size;) {
        if (!is_whole(data + at, size - at)) {
            at++;
            continue;
        }
        at += put_frame(data + at, data[at + MAGIC_BYTES], data + at + HEADER_BYTES,
                        fuzz_get32(data + at + MAGIC_BYTES + 1));
    }
}

/* Appends a request of any type. */
static size_t append(uint8_t *data, size_t size, size_t max_size, uint32_t *random)
{
    static uint8_t frame[MAX_INPUT];
    const unsigned type = 1 + fuzz_below(random, TYPES - 1);
    const uint32_t values = 1u << fuzz_below(random, 9);
    size_t length = lengths[type].request;
    if (type == ODT_PUT_PARAMS) length += fuzz_below(random, ODT_ARENA_BYTES + 16);
    if (length > sizeof frame - HEADER_BYTES - CRC_BYTES) return size;
    for (size_t i = 0; i < length; i++) frame[i] = (uint8_t)fuzz_below(random, values);
    if (type == ODT_PUT_PARAMS) fuzz_put32(frame, fuzz_below(random, sizeof(odt_params_t) + 16));
    const size_t bytes = HEADER_BYTES + length + CRC_BYTES;
    if (size < CONTROL_BYTES || size > max_size || bytes > max_size - size) return size;
    put_frame(data + size, type, frame, length);
    return size + bytes;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    uint32_t random = seed;
    if (fuzz_below(&random, 4) == 0)
        size = append(data, size, max_size, &random);
    else
        size = LLVMFuzzerMutate(data, size, max_size);
    if (fuzz_below(&random, 4) != 0) repair(data, size);
    return size;
}
