/* Not a model: parameters of an odd size, which a number fills. */
#ifndef MODEL_H
#define MODEL_H

#include <stddef.h>
#include <stdint.h>

#define ODT_MODEL_HASH 0x5eed5eedu
#define ODT_ARENA_BYTES 16u

enum odt_error { ODT_OK = 0, ODT_ERR_NULL = -1, ODT_ERR_LEARNING_RATE = -5 };

typedef struct odt_params {
    uint8_t bytes[603];
} odt_params_t;

typedef struct odt {
    odt_params_t params;
    float learning_rate;
    uint32_t seed;
    uint32_t steps;
    uint8_t *arena;
} odt_t;

int odt_init(odt_t *odt, void *arena, size_t arena_bytes);
int odt_set_learning_rate(odt_t *odt, float learning_rate);

#endif
