/* Not a model: it gives the features of the samples that it is handed. */
#ifndef MODEL_H
#define MODEL_H

#include <stddef.h>
#include <stdint.h>

#define ODT_MODEL_NAME "audio"
#define ODT_MODEL_HASH 0u
#define ODT_ARENA_BYTES 8192u
#define ODT_ARENA_ALIGN 16u
#define ODT_INPUT_ELEMENTS 1024u
#define ODT_OUTPUT_ELEMENTS 60u
#define ODT_TARGET_ELEMENTS 1u
#define ODT_TARGET_IS_LABEL 1
typedef float odt_input_t;
typedef int32_t odt_target_t;

enum odt_error { ODT_OK = 0, ODT_ERR_NULL = -1 };

typedef struct odt_params {
    float none;
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

#endif
