/* Not a model: a sample says its number, and a step learns the number of the last sample. The slots
 * and where they lie come from the command line. */
#ifndef MODEL_H
#define MODEL_H

#include <stddef.h>
#include <stdint.h>

#define ODT_MODEL_HASH 0x5eed5eedu
#define ODT_ARENA_BYTES 64u
#define ODT_INPUT_ELEMENTS 37u
#define ODT_OUTPUT_ELEMENTS 5u
#define ODT_TARGET_ELEMENTS 1u
#define ODT_TARGET_IS_LABEL 1

typedef int8_t odt_input_t;
typedef int32_t odt_target_t;

enum odt_error { ODT_OK = 0, ODT_ERR_NULL = -1, ODT_ERR_LABEL = -3, ODT_ERR_NOT_FINITE = -4,
                 ODT_ERR_LEARNING_RATE = -5 };

typedef struct odt_params {
    uint32_t number;
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
odt_input_t *odt_input(odt_t *odt);
int odt_train_step(odt_t *odt, const odt_input_t *input, const odt_target_t *target, float *loss);

int odt_check_sample(const odt_t *odt, const odt_input_t *input, const odt_target_t *target);

#endif
