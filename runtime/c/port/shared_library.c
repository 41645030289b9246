/*
 * shared_library: what a program of a computer must know of a model that it loads as a library.
 *
 * The model is one that was compiled with its frozen layers apart (odt_features).
 */
#include "model.h"

#include <stddef.h>
#include <stdint.h>

/* Bytes, but for the last: of odt_t, of its parameters, from its beginning to its count of steps,
 * of the arena and its alignment, of the features; and the model's hash. */
void odt_library_facts(uint32_t facts[8]);

void odt_library_facts(uint32_t facts[8]) {
    const uint32_t known[8] = {
        sizeof(odt_t),   sizeof(odt_params_t), offsetof(odt_t, steps),        ODT_ARENA_BYTES,
        ODT_ARENA_ALIGN, ODT_FEATURE_BYTES,    ODT_EVALUATION_FEATURE_BYTES, ODT_MODEL_HASH,
    };
    for (int i = 0; i < 8; ++i) {
        facts[i] = known[i];
    }
}
