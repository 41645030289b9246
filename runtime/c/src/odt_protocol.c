#include "odt_protocol.h"

#include <string.h>

#include "odt_crc.h"
#include "odt_marks.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "odt_protocol: numbers are sent as they lie in memory, which must be little-endian"
#endif

#define MAGIC 0x3154444fu /* "ODT1" */
#define PIECE_BYTES 16u
#define SAMPLE_BYTES ((uint32_t)(ODT_INPUT_ELEMENTS * sizeof(odt_input_t)))

/* One server and the frame it is reading. */
typedef struct connection {
    const odt_io_t *io;
    odt_t *odt;
    odt_message_t *message;
    int in_sync;     /* 0 after a bad frame, until the next magic: no second error meanwhile */
    uint32_t crc;    /* of the frame so far */
    uint8_t type;    /* of the frame */
    uint32_t length; /* of its payload */
} connection_t;

static int read_bytes(connection_t *c, void *data, size_t bytes, enum odt_patience patience)
{
    const int status = c->io->read(c->io->context, data, bytes, patience);
    if (status == 0) return ODT_OK;
    return status == ODT_ERR_TIMEOUT ? ODT_ERR_TIMEOUT : ODT_ERR_IO;
}

static int write_bytes(connection_t *c, const void *data, size_t bytes)
{
    return c->io->write(c->io->context, data, bytes) == 0 ? ODT_OK : ODT_ERR_IO;
}

/* Writes one frame. */
static int send(connection_t *c, int type, const void *payload, uint32_t length)
{
    const uint32_t magic = MAGIC;
    uint8_t header[9];
    memcpy(header, &magic, 4);
    header[4] = (uint8_t)type;
    memcpy(header + 5, &length, 4);

    uint32_t crc = odt_crc32(0, header + 4, 5);
    int status = write_bytes(c, header, sizeof header);
    if (status == ODT_OK && length > 0) {
        crc = odt_crc32(crc, payload, length);
        status = write_bytes(c, payload, length);
    }
    return status == ODT_OK ? write_bytes(c, &crc, sizeof crc) : status;
}

static int reply(connection_t *c, const void *payload, uint32_t length)
{
    return send(c, c->type | ODT_REPLY, payload, length);
}

static int send_error(connection_t *c, int code)
{
    const int32_t payload = code;
    return send(c, ODT_ERROR, &payload, sizeof payload);
}

/* Reads the next part of the payload, and its checksum piece by piece: a UART that holds one byte
 * has to be read again before the next but one comes. */
static int receive(connection_t *c, void *data, size_t bytes)
{
    uint8_t *next = (uint8_t *)data;
    while (bytes > 0) {
        const size_t piece = bytes < PIECE_BYTES ? bytes : PIECE_BYTES;
        const int status = read_bytes(c, next, piece, ODT_HURRY);
        if (status != ODT_OK) return status;
        c->crc = odt_crc32(c->crc, next, piece);
        next += piece;
        bytes -= piece;
    }
    return ODT_OK;
}

/* Reads the checksum that ends a frame. */
static int finish(connection_t *c)
{
    uint32_t crc;
    const int status = read_bytes(c, &crc, sizeof crc, ODT_HURRY);
    if (status != ODT_OK) return status;
    return crc == c->crc ? ODT_OK : ODT_ERR_CRC;
}

/* Finds the next magic, however long it takes, and reads the header behind it. Reports the end of
 * the stream before a frame has begun through *ended. */
static int read_header(connection_t *c, int *ended)
{
    uint32_t window = 0;
    uint8_t header[5];
    uint8_t byte;
    int status;
    *ended = read_bytes(c, &byte, 1, ODT_WAIT) != ODT_OK;
    if (*ended) return ODT_OK;
    window = (uint32_t)byte << 24;
    for (unsigned seen = 1; seen < 4 || window != MAGIC; seen++) {
        if (seen == 4 && c->in_sync) {
            c->in_sync = 0;
            if (send_error(c, ODT_ERR_SYNC) != ODT_OK) return ODT_ERR_IO;
        }
        if (read_bytes(c, &byte, 1, ODT_WAIT) != ODT_OK) return ODT_ERR_IO;
        window = window >> 8 | (uint32_t)byte << 24;
    }
    c->in_sync = 1;
    status = read_bytes(c, header, sizeof header, ODT_HURRY);
    if (status != ODT_OK) return status;
    c->crc = odt_crc32(0, header, sizeof header);
    c->type = header[0];
    memcpy(&c->length, header + 1, 4);
    return ODT_OK;
}

/* Whether a frame of this type may have this length. */
static int check_length(const connection_t *c)
{
    uint32_t expected;
    switch (c->type) {
    case ODT_TRAIN:
    case ODT_EVALUATE:
#ifdef ODT_REPLAY_SLOTS
    case ODT_REMEMBER:
#endif
        expected = SAMPLE_BYTES + (uint32_t)sizeof c->message->target;
        break;
    case ODT_PREDICT: expected = SAMPLE_BYTES; break;
#ifdef ODT_ADDS_CLASSES
    case ODT_ADD_CLASS: expected = 0; break;
#endif
#ifdef ODT_IMPRINTS
    case ODT_IMPRINT: expected = SAMPLE_BYTES + (uint32_t)sizeof c->message->target; break;
#endif
    case ODT_SET_LR: expected = sizeof(float); break;
    case ODT_SET_SEED: expected = sizeof(uint32_t); break;
    case ODT_PUT_STATE: expected = sizeof(odt_state_t); break;
    case ODT_HELLO:
    case ODT_GET_PARAMS:
    case ODT_STATS:
    case ODT_SAVE:
    case ODT_LOAD:
    case ODT_RESET:
    case ODT_APPLY:
#ifdef ODT_REPLAY_SLOTS
    case ODT_REHEARSE:
#endif
    case ODT_FORGET:
    case ODT_GET_STATE:
    case ODT_EXIT: expected = 0; break;
    case ODT_PUT_PARAMS:
        return c->length > 4 && c->length - 4 <= ODT_ARENA_BYTES ? ODT_OK : ODT_ERR_LENGTH;
    default: return ODT_ERR_TYPE;
    }
    return c->length == expected ? ODT_OK : ODT_ERR_LENGTH;
}

static int serve_hello(connection_t *c)
{
    const odt_hello_t hello = {
        .version = ODT_PROTOCOL_VERSION,
        .model_hash = ODT_MODEL_HASH,
        .input_bytes = SAMPLE_BYTES,
        .target_bytes = sizeof c->message->target,
        .output_bytes = sizeof c->message->evaluation.output,
        .params_bytes = sizeof(odt_params_t),
        .chunk_bytes = ODT_ARENA_BYTES,
    };
    const int status = finish(c);
    return status == ODT_OK ? reply(c, &hello, sizeof hello) : status;
}

static uint32_t cycles_now(const connection_t *c)
{
    return c->io->cycles != NULL ? c->io->cycles(c->io->context) : 0;
}

/* Reads a sample, and the target behind it where there is one, and the end of the frame. */
static int receive_sample(connection_t *c, int with_target)
{
    int status = receive(c, odt_input(c->odt), SAMPLE_BYTES);
    if (status == ODT_OK && with_target)
        status = receive(c, c->message->target, sizeof c->message->target);
    return status == ODT_OK ? finish(c) : status;
}

static int serve_train(connection_t *c)
{
    float loss = 0.0f;
    uint32_t begin;
    int status = receive_sample(c, 1);
    if (status != ODT_OK) return status;

    begin = cycles_now(c);
    odt_mark_train_begin();
    status = odt_train_step(c->odt, odt_input(c->odt), c->message->target, &loss);
    odt_mark_train_end();
    c->message->train_cycles = cycles_now(c) - begin;
    return status < 0 ? status : reply(c, &loss, sizeof loss);
}

static int serve_predict(connection_t *c)
{
    odt_evaluation_t *evaluation = &c->message->evaluation;
    uint32_t begin;
    int status = receive_sample(c, 0);
    if (status != ODT_OK) return status;

    begin = cycles_now(c);
    odt_mark_predict_begin();
    status = odt_predict(c->odt, odt_input(c->odt), evaluation->output);
    odt_mark_predict_end();
    c->message->predict_cycles = cycles_now(c) - begin;
    return status < 0 ? status : reply(c, evaluation->output, sizeof evaluation->output);
}

static int serve_evaluate(connection_t *c)
{
    odt_evaluation_t *evaluation = &c->message->evaluation;
    int status = receive_sample(c, 1);
    if (status != ODT_OK) return status;
    status = odt_evaluate(c->odt, odt_input(c->odt), c->message->target, evaluation->output,
                          &evaluation->loss);
    return status < 0 ? status : reply(c, evaluation, sizeof *evaluation);
}

#ifdef ODT_ADDS_CLASSES
static int serve_add_class(connection_t *c)
{
    int32_t label = 0;
    int status = finish(c);
    if (status == ODT_OK) status = label = odt_add_class(c->odt);
    return status < 0 ? status : reply(c, &label, sizeof label);
}
#endif

#ifdef ODT_IMPRINTS
static int serve_imprint(connection_t *c)
{
    int status = receive_sample(c, 1);
    if (status == ODT_OK) status = odt_imprint(c->odt, odt_input(c->odt), c->message->target);
    return status < 0 ? status : reply(c, NULL, 0);
}
#endif

static int serve_get_params(connection_t *c)
{
    const int status = finish(c);
    return status == ODT_OK ? reply(c, &c->odt->params, sizeof c->odt->params) : status;
}

/* Bring biases that a host sent into the range in which no sum overflows; ours sends no others. */
static void limit_biases(odt_params_t *params)
{
#ifdef ODT_BIASES
    static const struct { uint32_t offset, count; } biases[] = {ODT_BIASES};
    const int32_t limit = (int32_t)1 << 30;
    for (uint32_t b = 0; b < sizeof biases / sizeof *biases; b++) {
        uint8_t *place = (uint8_t *)params + biases[b].offset;
        for (uint32_t i = 0; i < biases[b].count; i++, place += sizeof limit) {
            int32_t value;
            memcpy(&value, place, sizeof value);
            value = value > limit ? limit : value < -limit ? -limit : value;
            memcpy(place, &value, sizeof value);
        }
    }
#else
    (void)params;
#endif
}

static int serve_put_params(connection_t *c)
{
    uint32_t offset = 0;
    const uint32_t bytes = c->length - (uint32_t)sizeof offset;
    int status = receive(c, &offset, sizeof offset);
    if (status == ODT_OK) status = receive(c, c->odt->arena, bytes);
    if (status == ODT_OK) status = finish(c);
    if (status != ODT_OK) return status;
    if (bytes > sizeof(odt_params_t) || offset > sizeof(odt_params_t) - bytes) return ODT_ERR_RANGE;
    memcpy((uint8_t *)&c->odt->params + offset, c->odt->arena, bytes);
    limit_biases(&c->odt->params);
    return reply(c, NULL, 0);
}

static int serve_set_learning_rate(connection_t *c)
{
    float learning_rate;
    int status = receive(c, &learning_rate, sizeof learning_rate);
    if (status == ODT_OK) status = finish(c);
    if (status == ODT_OK) status = odt_set_learning_rate(c->odt, learning_rate);
    return status < 0 ? status : reply(c, NULL, 0);
}

static int serve_set_seed(connection_t *c)
{
    uint32_t seed;
    int status = receive(c, &seed, sizeof seed);
    if (status == ODT_OK) status = finish(c);
    if (status == ODT_OK) status = odt_set_seed(c->odt, seed);
    return status < 0 ? status : reply(c, NULL, 0);
}

static int serve_stats(connection_t *c)
{
    odt_stats_t stats = {
        .steps = c->odt->steps,
        .arena_bytes = ODT_ARENA_BYTES,
        .state_bytes = sizeof(odt_t),
        .train_cycles = c->message->train_cycles,
        .predict_cycles = c->message->predict_cycles,
    };
    const int status = finish(c);
    if (status != ODT_OK) return status;
    if (c->io->account != NULL) c->io->account(c->io->context, &stats);
    return reply(c, &stats, sizeof stats);
}

static int serve_save(connection_t *c)
{
    odt_store_info_t info;
    int status = finish(c);
    if (status == ODT_OK && c->io->flash == NULL) status = ODT_ERR_NO_FLASH;
    if (status == ODT_OK) status = odt_save(c->io->flash, c->odt, &info);
    return status < 0 ? status : reply(c, &info, sizeof info);
}

static int serve_load(connection_t *c)
{
    odt_store_info_t info;
    int status = finish(c);
    if (status == ODT_OK && c->io->flash == NULL) status = ODT_ERR_NO_FLASH;
    if (status == ODT_OK) status = odt_load(c->io->flash, c->odt, &info);
    return status < 0 ? status : reply(c, &info, sizeof info);
}

/* Of the ring of samples what is lost with RAM. */
static int reset_replay(connection_t *c)
{
#if defined(ODT_REPLAY_SLOTS) && !ODT_REPLAY_IN_FLASH
    return odt_replay_init(c->io->replay, NULL);
#else
    (void)c;
    return ODT_OK;
#endif
}

static int serve_reset(connection_t *c)
{
    int status = finish(c);
    if (status == ODT_OK) status = odt_init(c->odt, c->odt->arena, ODT_ARENA_BYTES);
    if (status == ODT_OK) status = reset_replay(c);
    if (status == ODT_OK) memset(c->message, 0, sizeof *c->message);
    return status < 0 ? status : reply(c, NULL, 0);
}

/* A model without batches has nothing to update with. */
static int serve_apply(connection_t *c)
{
    int status = finish(c);
#ifdef ODT_MOST_SAMPLES
    if (status == ODT_OK) status = odt_apply(c->odt);
#endif
    return status < 0 ? status : reply(c, NULL, 0);
}

static int serve_forget(connection_t *c)
{
    int status = finish(c);
    if (status != ODT_OK) return status;
    memset(c->message, 0, sizeof *c->message);
    status = odt_forget(c->io->flash, c->odt);
#ifdef ODT_REPLAY_SLOTS
    (void)odt_replay_init(c->io->replay, c->io->flash); /* what failed in it fails each call */
#endif
    return status < 0 ? status : reply(c, NULL, 0);
}

#ifdef ODT_REPLAY_SLOTS
/* Whether there is flash where the ring needs it. */
static int check_replay(const connection_t *c)
{
    return ODT_REPLAY_IN_FLASH && c->io->flash == NULL ? ODT_ERR_NO_FLASH : ODT_OK;
}

static int serve_remember(connection_t *c)
{
    odt_replay_t *replay = c->io->replay;
    int status = receive_sample(c, 1);
    if (status == ODT_OK) status = check_replay(c);
    if (status == ODT_OK)
        status = odt_replay_add(replay, c->odt, odt_input(c->odt), c->message->target);
    if (status < 0) return status;
    const odt_remembered_t remembered = {.kept = (uint32_t)status,
                                         .held = odt_replay_held(replay),
                                         .seen = replay->seen,
                                         .erases = replay->erases};
    return reply(c, &remembered, sizeof remembered);
}

static int serve_rehearse(connection_t *c)
{
    float loss = 0.0f;
    int status = finish(c);
    if (status == ODT_OK) status = check_replay(c);
    if (status == ODT_OK) status = odt_train_replay(c->odt, c->io->replay, &loss);
    return status < 0 ? status : reply(c, &loss, sizeof loss);
}
#endif

static int serve_get_state(connection_t *c)
{
    const odt_state_t state = {
        .learning_rate = c->odt->learning_rate,
        .seed = c->odt->seed,
        .steps = c->odt->steps,
    };
    const int status = finish(c);
    return status == ODT_OK ? reply(c, &state, sizeof state) : status;
}

static int serve_put_state(connection_t *c)
{
    odt_state_t state;
    int status = receive(c, &state, sizeof state);
    if (status == ODT_OK) status = finish(c);
    if (status == ODT_OK) status = odt_set_learning_rate(c->odt, state.learning_rate);
    if (status < 0) return status;
    c->odt->seed = state.seed;
    c->odt->steps = state.steps;
    return reply(c, NULL, 0);
}

static int serve_exit(connection_t *c)
{
    const int status = finish(c);
    return status == ODT_OK ? reply(c, NULL, 0) : status;
}

/* Reads the rest of one frame and answers it. */
static int serve_frame(connection_t *c)
{
    const int status = check_length(c);
    if (status != ODT_OK) return status;
    switch (c->type) {
    case ODT_HELLO: return serve_hello(c);
    case ODT_TRAIN: return serve_train(c);
    case ODT_PREDICT: return serve_predict(c);
    case ODT_GET_PARAMS: return serve_get_params(c);
    case ODT_PUT_PARAMS: return serve_put_params(c);
    case ODT_SET_LR: return serve_set_learning_rate(c);
    case ODT_SET_SEED: return serve_set_seed(c);
    case ODT_STATS: return serve_stats(c);
    case ODT_EVALUATE: return serve_evaluate(c);
    case ODT_SAVE: return serve_save(c);
    case ODT_LOAD: return serve_load(c);
    case ODT_RESET: return serve_reset(c);
#ifdef ODT_ADDS_CLASSES
    case ODT_ADD_CLASS: return serve_add_class(c);
#endif
#ifdef ODT_IMPRINTS
    case ODT_IMPRINT: return serve_imprint(c);
#endif
    case ODT_APPLY: return serve_apply(c);
    case ODT_FORGET: return serve_forget(c);
#ifdef ODT_REPLAY_SLOTS
    case ODT_REMEMBER: return serve_remember(c);
    case ODT_REHEARSE: return serve_rehearse(c);
#endif
    case ODT_GET_STATE: return serve_get_state(c);
    case ODT_PUT_STATE: return serve_put_state(c);
    default: return serve_exit(c);
    }
}

/* Whether a frame that failed so may have swallowed part of the next one. */
static int lost_its_end(int status)
{
    return status == ODT_ERR_TYPE || status == ODT_ERR_LENGTH || status == ODT_ERR_CRC ||
           status == ODT_ERR_TIMEOUT;
}

int odt_serve(const odt_io_t *io, odt_t *odt, odt_message_t *message)
{
    connection_t c = {.io = io, .odt = odt, .message = message, .in_sync = 1};
    for (;;) {
        int ended;
        int status = read_header(&c, &ended);
        if (ended) return ODT_OK;
        if (status == ODT_OK) status = serve_frame(&c);
        if (status == ODT_ERR_IO) return status;
        if (status == ODT_OK && c.type == ODT_EXIT) return ODT_OK;
        if (status == ODT_OK) continue;

        if (lost_its_end(status)) c.in_sync = 0;
        if (send_error(&c, status) != ODT_OK) return ODT_ERR_IO;
    }
}
