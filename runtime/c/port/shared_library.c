/*
 * shared_library: what a program of a computer must know of a model that it loads as a library.
 *
 * The model is one that was compiled with its frozen layers apart (odt_features), and keeps samples
 * in RAM, if it does.
 */
#include "model.h"
#include "odt_replay.h"

#include <stddef.h>
#include <stdint.h>

enum { FACTS = 10 };

#ifdef ODT_REPLAY_SLOTS
#define REPLAY_BYTES sizeof(odt_replay_t)
#else
#define REPLAY_BYTES 0
#endif

/* Bytes: of odt_t and of its parameters, from its beginning to learning rate, seed and count of
 * steps, of the arena and its alignment, of a sample's features, trained and evaluated, of
 * odt_replay_t. */
void odt_library_facts(uint32_t facts[FACTS]);

void odt_library_facts(uint32_t facts[FACTS]) {
    const uint32_t known[FACTS] = {
        sizeof(odt_t),
        sizeof(odt_params_t),
        offsetof(odt_t, learning_rate),
        offsetof(odt_t, seed),
        offsetof(odt_t, steps),
        ODT_ARENA_BYTES,
        ODT_ARENA_ALIGN,
        ODT_FEATURE_BYTES,
        ODT_EVALUATION_FEATURE_BYTES,
        REPLAY_BYTES,
    };
    for (int i = 0; i < FACTS; ++i) {
        facts[i] = known[i];
    }
}
