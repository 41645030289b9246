/*
 * odt_protocol: a host drives a training device over a byte stream.
 *
 * The host sends one request frame and waits for one reply frame. A frame is
 *
 *     offset  bytes
 *          0      4  magic, the characters "ODT1"
 *          4      1  type
 *          5      4  length L of the payload, little-endian
 *          9      L  payload
 *      9 + L      4  CRC-32 (the one of zlib and Ethernet) of bytes 4 .. 9 + L - 1
 *
 * A reply has the type of its request with ODT_REPLY set, or is an ODT_ERROR
 * frame whose payload is one negative int32: a code of `enum odt_error` (the
 * model refused, nothing was trained) or of `enum odt_protocol_error` (the
 * frame was bad). After a bad frame the server skips to the next magic; it
 * answers one error however many bytes it skips, and never waits for bytes
 * that a valid frame of that type would not have.
 *
 *     request         payload                   reply payload
 *     ODT_HELLO       -                         odt_hello_t
 *     ODT_TRAIN       sample, target            float loss
 *     ODT_PREDICT     sample                    float output[ODT_OUTPUT_ELEMENTS]
 *     ODT_GET_PARAMS  -                         odt_params_t
 *     ODT_PUT_PARAMS  uint32 offset, bytes      -
 *     ODT_SET_LR      float learning rate       -
 *     ODT_SET_SEED    uint32 seed               -
 *     ODT_STATS       -                         odt_stats_t
 *     ODT_EXIT        -                         -, then odt_serve() returns
 *     ODT_EVALUATE    sample, target            odt_evaluation_t; nothing is trained
 *     ODT_SAVE        -                         odt_store_info_t, see odt_store.h
 *     ODT_LOAD        -                         odt_store_info_t
 *     ODT_RESET       -                         -; all is as odt_init() leaves it
 *     ODT_REMEMBER    sample, target            odt_remembered_t, see odt_replay.h
 *     ODT_REHEARSE    -                         float loss of an old sample that was drawn
 *     ODT_FORGET      -                         -; see odt_forget(); slots of replay, too
 *     ODT_ADD_CLASS   -                         int32 label; of a model with ODT_ADDS_CLASSES
 *     ODT_IMPRINT     sample, label             -; of a model with ODT_IMPRINTS
 *     ODT_GET_STATE   -                         odt_state_t
 *     ODT_PUT_STATE   odt_state_t               -
 *     ODT_APPLY       -                         -; odt_apply(), where the model has batches
 *
 * ODT_REMEMBER and ODT_REHEARSE are there where the model was compiled with --replay; there
 * ODT_RESET empties slots that lie in RAM. ODT_REHEARSE first puts into use, where the model has
 * ODT_ADDS_CLASSES, the classes of all samples that are kept: see odt_replay_add_classes().
 *
 * Whatever bytes come, each request is answered by its reply, by one error frame or,
 * where no frame could be made out, by silence. The rest of a frame that does not come
 * ends in ODT_ERR_TIMEOUT where the stream can tell, so nothing waits forever.
 *
 * A sample is read straight into odt_input(), so it never exists twice. Numbers
 * travel as they lie in memory: host and device are both little-endian.
 * ODT_PUT_PARAMS is staged in the arena, at most ODT_ARENA_BYTES at a time, and
 * changes the parameters only once its CRC has been found right.
 *
 * No malloc, no global state: everything lies in what the caller passes in.
 */
#ifndef ODT_PROTOCOL_H
#define ODT_PROTOCOL_H

#include <stddef.h>
#include <stdint.h>

#include "model.h"
#include "odt_replay.h"
#include "odt_store.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ODT_PROTOCOL_VERSION 3u

enum odt_frame_type {
    ODT_HELLO = 1,
    ODT_TRAIN = 2,
    ODT_PREDICT = 3,
    ODT_GET_PARAMS = 4,
    ODT_PUT_PARAMS = 5,
    ODT_SET_LR = 6,
    ODT_SET_SEED = 7,
    ODT_STATS = 8,
    ODT_EXIT = 9,
    ODT_EVALUATE = 10,
    ODT_SAVE = 11,
    ODT_LOAD = 12,
    ODT_RESET = 13,
    ODT_REMEMBER = 14,
    ODT_REHEARSE = 15,
    ODT_FORGET = 16,
    ODT_ADD_CLASS = 17,
    ODT_IMPRINT = 18,
    ODT_GET_STATE = 19,
    ODT_PUT_STATE = 20,
    ODT_APPLY = 21,
    ODT_REPLY = 0x80, /* set in the type of every reply */
    ODT_ERROR = 0xff  /* the reply to a request that failed */
};

/* Errors of the protocol; the numbers above are the model's, those from -32 the store's. */
enum odt_protocol_error {
    ODT_ERR_SYNC = -16,   /* bytes that are not the magic stood where a frame should begin */
    ODT_ERR_TYPE = -17,   /* unknown frame type */
    ODT_ERR_LENGTH = -18, /* wrong payload length for this frame type */
    ODT_ERR_CRC = -19,    /* the payload or the header was damaged on the way */
    ODT_ERR_RANGE = -20,  /* ODT_PUT_PARAMS beyond the end of odt_params_t */
    ODT_ERR_IO = -21,     /* the stream ended in the middle of a frame, or cannot be written */
    ODT_ERR_TIMEOUT = -22, /* the rest of a frame did not come */
    ODT_ERR_NO_FLASH = -23 /* something is to be kept in flash, and odt_io_t has none */
};

/* What the device is: the reply to ODT_HELLO. */
typedef struct odt_hello {
    uint32_t version;      /* ODT_PROTOCOL_VERSION */
    uint32_t model_hash;   /* ODT_MODEL_HASH */
    uint32_t input_bytes;  /* of one sample */
    uint32_t target_bytes; /* of one label or target vector */
    uint32_t output_bytes; /* of one prediction */
    uint32_t params_bytes; /* sizeof(odt_params_t) */
    uint32_t chunk_bytes;  /* the most that one ODT_PUT_PARAMS may carry */
} odt_hello_t;

/* What the device uses: the reply to ODT_STATS. */
typedef struct odt_stats {
    uint32_t steps;          /* training steps since odt_init() */
    uint32_t stack_used;     /* bytes, high-water mark since reset; 0: this port cannot tell */
    uint32_t stack_reserved; /* bytes; 0: this port cannot tell */
    uint32_t arena_bytes;    /* ODT_ARENA_BYTES */
    uint32_t state_bytes;    /* sizeof(odt_t): parameters, generator, learning rate */
    uint32_t static_bytes;   /* .data and .bss without odt_t; 0: this port cannot tell */
    uint32_t train_cycles;   /* of the last training step; 0: none yet, or this port cannot tell */
    uint32_t predict_cycles; /* of the last prediction, likewise */
} odt_stats_t;

/* What the next step depends on besides its sample and odt_params_t. */
typedef struct odt_state {
    float learning_rate;
    uint32_t seed;
    uint32_t steps;
} odt_state_t;

/* How long odt_io_t.read may wait. */
enum odt_patience {
    ODT_WAIT = 0, /* no frame has begun: as long as it takes */
    ODT_HURRY = 1 /* the rest of a frame: where nothing comes for a second, it was lost */
};

/* What a model makes of a sample: the reply to ODT_EVALUATE. */
typedef struct odt_evaluation {
    float loss;
    float output[ODT_OUTPUT_ELEMENTS];
} odt_evaluation_t;

/* What became of a sample that was to be kept: the reply to ODT_REMEMBER. */
typedef struct odt_remembered {
    uint32_t kept;   /* 1 or 0 */
    uint32_t held;   /* samples that are kept now */
    uint32_t seen;   /* that came */
    uint32_t erases; /* blocks of flash that were erased for them, ever */
} odt_remembered_t;

/* The stream, the flash and the memory account: what a port has to supply. */
typedef struct odt_io {
    /* Handed to each function below; may be NULL. */
    void *context;

    /* Reads exactly `bytes`, with the patience given. 0, ODT_ERR_TIMEOUT, or another negative
     * number at the end of the stream. A stream that cannot lose bytes need not time out. */
    int (*read)(void *context, void *data, size_t bytes, enum odt_patience patience);

    /* Writes exactly `bytes` and hands them on at once. 0, or negative on failure. */
    int (*write)(void *context, const void *data, size_t bytes);

    /* Fills in stack_used, stack_reserved and static_bytes. NULL: all three stay 0. */
    void (*account)(void *context, odt_stats_t *stats);

    /* A counter of cycles that runs all the time and may wrap around. NULL: there is none. */
    uint32_t (*cycles)(void *context);

    /* Where ODT_SAVE and ODT_LOAD keep what was learned. NULL: nowhere. */
    const odt_flash_t *flash;

#ifdef ODT_REPLAY_SLOTS
    /* Old samples, with which odt_replay_init() was called. Not NULL. */
    odt_replay_t *replay;
#endif
} odt_io_t;

/* Room for what a request or reply carries beside the sample. Begins as all zero. */
typedef struct odt_message {
    odt_target_t target[ODT_TARGET_ELEMENTS];
    odt_evaluation_t evaluation;
    uint32_t train_cycles;   /* of the last training step, for ODT_STATS */
    uint32_t predict_cycles; /* of the last prediction */
} odt_message_t;

/* Serves requests until ODT_EXIT or the end of the stream.
 *
 * io       the stream, see above
 * odt      a model that odt_init() has accepted, with an arena of ODT_ARENA_BYTES
 * message  scratch, owned by the caller
 *
 * Returns ODT_OK, or ODT_ERR_IO when the stream broke in the middle of a frame. */
int odt_serve(const odt_io_t *io, odt_t *odt, odt_message_t *message);

#ifdef __cplusplus
}
#endif

#endif
