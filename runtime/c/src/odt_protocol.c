#include "odt_protocol.h"

#include <string.h>

#include "odt_frame.h"
#include "odt_marks.h"

/* Whether a frame of this type may have this length. */
static int check_length(const odt_connection_t *c)
{
    uint32_t expected;
    switch (c->type) {
    case ODT_TRAIN:
    case ODT_EVALUATE:
#ifdef ODT_REPLAY_SLOTS
    case ODT_REMEMBER:
#endif
        expected = ODT_SAMPLE_BYTES + (uint32_t)sizeof c->message->target;
        break;
    case ODT_PREDICT: expected = ODT_SAMPLE_BYTES; break;
#ifdef ODT_ADDS_CLASSES
    case ODT_ADD_CLASS: expected = 0; break;
#endif
#ifdef ODT_IMPRINTS
    case ODT_IMPRINT: expected = ODT_SAMPLE_BYTES + (uint32_t)sizeof c->message->target; break;
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

static int serve_hello(odt_connection_t *c)
{
    const odt_hello_t hello = {
        .version = ODT_PROTOCOL_VERSION,
        .model_hash = ODT_MODEL_HASH,
        .input_bytes = ODT_SAMPLE_BYTES,
        .target_bytes = sizeof c->message->target,
        .output_bytes = sizeof c->message->evaluation.output,
        .params_bytes = sizeof(odt_params_t),
        .chunk_bytes = ODT_ARENA_BYTES,
    };
    const int status = odt_frame_finish(c);
    return status == ODT_OK ? odt_frame_reply(c, &hello, sizeof hello) : status;
}

static uint32_t cycles_now(const odt_connection_t *c)
{
    return c->io->cycles != NULL ? c->io->cycles(c->io->context) : 0;
}

static int serve_train(odt_connection_t *c)
{
    float loss = 0.0f;
    uint32_t begin;
    int status = odt_frame_sample(c, 1);
    if (status != ODT_OK) return status;

    begin = cycles_now(c);
    odt_mark_train_begin();
    status = odt_train_step(c->odt, odt_input(c->odt), c->message->target, &loss);
    odt_mark_train_end();
    c->message->train_cycles = cycles_now(c) - begin;
    return status < 0 ? status : odt_frame_reply(c, &loss, sizeof loss);
}

static int serve_predict(odt_connection_t *c)
{
    odt_evaluation_t *evaluation = &c->message->evaluation;
    uint32_t begin;
    int status = odt_frame_sample(c, 0);
    if (status != ODT_OK) return status;

    begin = cycles_now(c);
    odt_mark_predict_begin();
    status = odt_predict(c->odt, odt_input(c->odt), evaluation->output);
    odt_mark_predict_end();
    c->message->predict_cycles = cycles_now(c) - begin;
    return status < 0 ? status : odt_frame_reply(c, evaluation->output, sizeof evaluation->output);
}

static int serve_evaluate(odt_connection_t *c)
{
    odt_evaluation_t *evaluation = &c->message->evaluation;
    int status = odt_frame_sample(c, 1);
    if (status != ODT_OK) return status;
    status = odt_evaluate(c->odt, odt_input(c->odt), c->message->target, evaluation->output,
                          &evaluation->loss);
    return status < 0 ? status : odt_frame_reply(c, evaluation, sizeof *evaluation);
}

#ifdef ODT_ADDS_CLASSES
static int serve_add_class(odt_connection_t *c)
{
    int32_t label = 0;
    int status = odt_frame_finish(c);
    if (status == ODT_OK) status = label = odt_add_class(c->odt);
    return status < 0 ? status : odt_frame_reply(c, &label, sizeof label);
}
#endif

#ifdef ODT_IMPRINTS
static int serve_imprint(odt_connection_t *c)
{
    int status = odt_frame_sample(c, 1);
    if (status == ODT_OK) status = odt_imprint(c->odt, odt_input(c->odt), c->message->target);
    return status < 0 ? status : odt_frame_reply(c, NULL, 0);
}
#endif

static int serve_get_params(odt_connection_t *c)
{
    const int status = odt_frame_finish(c);
    return status == ODT_OK ? odt_frame_reply(c, &c->odt->params, sizeof c->odt->params) : status;
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

static int serve_put_params(odt_connection_t *c)
{
    uint32_t offset = 0;
    const uint32_t bytes = c->length - (uint32_t)sizeof offset;
    int status = odt_frame_receive(c, &offset, sizeof offset);
    if (status == ODT_OK) status = odt_frame_receive(c, c->odt->arena, bytes);
    if (status == ODT_OK) status = odt_frame_finish(c);
    if (status != ODT_OK) return status;
    if (bytes > sizeof(odt_params_t) || offset > sizeof(odt_params_t) - bytes) return ODT_ERR_RANGE;
    memcpy((uint8_t *)&c->odt->params + offset, c->odt->arena, bytes);
    limit_biases(&c->odt->params);
    return odt_frame_reply(c, NULL, 0);
}

static int serve_set_learning_rate(odt_connection_t *c)
{
    float learning_rate;
    int status = odt_frame_receive(c, &learning_rate, sizeof learning_rate);
    if (status == ODT_OK) status = odt_frame_finish(c);
    if (status == ODT_OK) status = odt_set_learning_rate(c->odt, learning_rate);
    return status < 0 ? status : odt_frame_reply(c, NULL, 0);
}

static int serve_set_seed(odt_connection_t *c)
{
    uint32_t seed;
    int status = odt_frame_receive(c, &seed, sizeof seed);
    if (status == ODT_OK) status = odt_frame_finish(c);
    if (status == ODT_OK) status = odt_set_seed(c->odt, seed);
    return status < 0 ? status : odt_frame_reply(c, NULL, 0);
}

static int serve_stats(odt_connection_t *c)
{
    odt_stats_t stats = {
        .steps = c->odt->steps,
        .arena_bytes = ODT_ARENA_BYTES,
        .state_bytes = sizeof(odt_t),
        .train_cycles = c->message->train_cycles,
        .predict_cycles = c->message->predict_cycles,
    };
    const int status = odt_frame_finish(c);
    if (status != ODT_OK) return status;
    if (c->io->account != NULL) c->io->account(c->io->context, &stats);
    return odt_frame_reply(c, &stats, sizeof stats);
}

static int serve_save(odt_connection_t *c)
{
    odt_store_info_t info;
    int status = odt_frame_finish(c);
    if (status == ODT_OK && c->io->flash == NULL) status = ODT_ERR_NO_FLASH;
    if (status == ODT_OK) status = odt_save(c->io->flash, c->odt, &info);
    return status < 0 ? status : odt_frame_reply(c, &info, sizeof info);
}

static int serve_load(odt_connection_t *c)
{
    odt_store_info_t info;
    int status = odt_frame_finish(c);
    if (status == ODT_OK && c->io->flash == NULL) status = ODT_ERR_NO_FLASH;
    if (status == ODT_OK) status = odt_load(c->io->flash, c->odt, &info);
    return status < 0 ? status : odt_frame_reply(c, &info, sizeof info);
}

/* Of the ring of samples what is lost with RAM. */
static int reset_replay(odt_connection_t *c)
{
#if defined(ODT_REPLAY_SLOTS) && !ODT_REPLAY_IN_FLASH
    return odt_replay_init(c->io->replay, NULL);
#else
    (void)c;
    return ODT_OK;
#endif
}

static int serve_reset(odt_connection_t *c)
{
    int status = odt_frame_finish(c);
    if (status == ODT_OK) status = odt_init(c->odt, c->odt->arena, ODT_ARENA_BYTES);
    if (status == ODT_OK) status = reset_replay(c);
    if (status == ODT_OK) memset(c->message, 0, sizeof *c->message);
    return status < 0 ? status : odt_frame_reply(c, NULL, 0);
}

/* A model without batches has nothing to update with. */
static int serve_apply(odt_connection_t *c)
{
    int status = odt_frame_finish(c);
#ifdef ODT_MOST_SAMPLES
    if (status == ODT_OK) status = odt_apply(c->odt);
#endif
    return status < 0 ? status : odt_frame_reply(c, NULL, 0);
}

static int serve_forget(odt_connection_t *c)
{
    int status = odt_frame_finish(c);
    if (status != ODT_OK) return status;
    memset(c->message, 0, sizeof *c->message);
    status = odt_forget(c->io->flash, c->odt);
#ifdef ODT_REPLAY_SLOTS
    (void)odt_replay_init(c->io->replay, c->io->flash); /* what failed in it fails each call */
#endif
    return status < 0 ? status : odt_frame_reply(c, NULL, 0);
}

#ifdef ODT_REPLAY_SLOTS
/* Whether there is flash where the ring needs it. */
static int check_replay(const odt_connection_t *c)
{
    return ODT_REPLAY_IN_FLASH && c->io->flash == NULL ? ODT_ERR_NO_FLASH : ODT_OK;
}

static int serve_remember(odt_connection_t *c)
{
    odt_replay_t *replay = c->io->replay;
    int status = odt_frame_sample(c, 1);
    if (status == ODT_OK) status = check_replay(c);
    if (status == ODT_OK)
        status = odt_replay_add(replay, c->odt, odt_input(c->odt), c->message->target);
    if (status < 0) return status;
    const odt_remembered_t remembered = {.kept = (uint32_t)status,
                                         .held = odt_replay_held(replay),
                                         .seen = replay->seen,
                                         .erases = replay->erases};
    return odt_frame_reply(c, &remembered, sizeof remembered);
}

static int serve_rehearse(odt_connection_t *c)
{
    float loss = 0.0f;
    int status = odt_frame_finish(c);
    if (status == ODT_OK) status = check_replay(c);
#ifdef ODT_REPLAY_ADDS_CLASSES
    /* what fails in it fails in the step */
    if (status == ODT_OK) (void)odt_replay_add_classes(c->io->replay, c->odt);
#endif
    if (status == ODT_OK) status = odt_train_replay(c->odt, c->io->replay, &loss);
    return status < 0 ? status : odt_frame_reply(c, &loss, sizeof loss);
}
#endif

static int serve_get_state(odt_connection_t *c)
{
    const odt_state_t state = {
        .learning_rate = c->odt->learning_rate,
        .seed = c->odt->seed,
        .steps = c->odt->steps,
    };
    const int status = odt_frame_finish(c);
    return status == ODT_OK ? odt_frame_reply(c, &state, sizeof state) : status;
}

static int serve_put_state(odt_connection_t *c)
{
    odt_state_t state;
    int status = odt_frame_receive(c, &state, sizeof state);
    if (status == ODT_OK) status = odt_frame_finish(c);
    if (status == ODT_OK) status = odt_set_learning_rate(c->odt, state.learning_rate);
    if (status < 0) return status;
    c->odt->seed = state.seed;
    c->odt->steps = state.steps;
    return odt_frame_reply(c, NULL, 0);
}

static int serve_exit(odt_connection_t *c)
{
    const int status = odt_frame_finish(c);
    return status == ODT_OK ? odt_frame_reply(c, NULL, 0) : status;
}

/* Reads the rest of one frame and answers it. */
static int serve_frame(odt_connection_t *c)
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

int odt_serve(const odt_io_t *io, odt_t *odt, odt_message_t *message)
{
    odt_connection_t c = {.io = io, .odt = odt, .message = message, .in_sync = 1};
    for (;;) {
        int ended;
        int status = odt_frame_begin(&c, &ended);
        if (ended) return ODT_OK;
        if (status == ODT_OK) status = serve_frame(&c);
        if (status == ODT_ERR_IO) return status;
        if (status == ODT_OK && c.type == ODT_EXIT) return ODT_OK;
        if (status != ODT_OK && odt_frame_error(&c, status) != ODT_OK) return ODT_ERR_IO;
    }
}
