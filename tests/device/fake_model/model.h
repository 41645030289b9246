/* A linear softmax classifier by hand: the smallest model that obeys the interface. */
#ifndef MODEL_H
#define MODEL_H

#include <stddef.h>
#include <stdint.h>

#define ODT_MODEL_NAME "fake"
#define ODT_MODEL_HASH 0x1234abcdu
#ifndef ODT_ARENA_BYTES
#define ODT_ARENA_BYTES 4096u
#endif
#define ODT_ARENA_ALIGN 16u
#define ODT_INPUT_ELEMENTS 64u
#define ODT_OUTPUT_ELEMENTS 10u
#define ODT_TARGET_ELEMENTS 1u
#define ODT_TARGET_IS_LABEL 1
typedef int8_t odt_input_t;
typedef int32_t odt_target_t;

enum odt_error {
    ODT_OK = 0,
    ODT_ERR_NULL = -1,
    ODT_ERR_ARENA = -2,
    ODT_ERR_LABEL = -3,
    ODT_ERR_NOT_FINITE = -4,
    ODT_ERR_LEARNING_RATE = -5,
    ODT_ERR_DIVERGED = -6
};

typedef struct odt_params {
    float weight[ODT_OUTPUT_ELEMENTS * ODT_INPUT_ELEMENTS]; /* (10, 64) */
    float bias[ODT_OUTPUT_ELEMENTS];
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
int odt_set_seed(odt_t *odt, uint32_t seed);
odt_input_t *odt_input(odt_t *odt);
int odt_predict(odt_t *odt, const odt_input_t *input, float *output);
int odt_evaluate(odt_t *odt, const odt_input_t *input, const odt_target_t *target, float *output,
                 float *loss);
int odt_train_step(odt_t *odt, const odt_input_t *input, const odt_target_t *target, float *loss);

#ifdef ODT_REPLAY_SLOTS
int odt_check_sample(const odt_t *odt, const odt_input_t *input, const odt_target_t *target);
#endif

#endif
