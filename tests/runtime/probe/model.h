/* Not a model: it hands floats to every function of odt_math.h and odt_kernels.h. */
#ifndef MODEL_H
#define MODEL_H

#include <stddef.h>
#include <stdint.h>

#define ODT_MODEL_NAME "probe"
#define ODT_MODEL_HASH 0u
#define ODT_ARENA_BYTES 8192u
#define ODT_ARENA_ALIGN 16u
#define ODT_INPUT_ELEMENTS 1024u
#define PROBE_FUNCTIONS 12u
#define ODT_OUTPUT_ELEMENTS (PROBE_FUNCTIONS * ODT_INPUT_ELEMENTS)
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

/* output[f][i] = function f of input[i]; integers as the floats that have their bits. */
int odt_predict(odt_t *odt, const odt_input_t *input, float *output);
int odt_evaluate(odt_t *odt, const odt_input_t *input, const odt_target_t *target, float *output,
                 float *loss);
int odt_train_step(odt_t *odt, const odt_input_t *input, const odt_target_t *target, float *loss);

/* For the host, over arrays of n elements. */
void probe_update(int32_t n, const int32_t *code, const float *step, int32_t limit,
                  const uint32_t *seed, const uint32_t *index, int32_t *result,
                  uint32_t *not_finite);
void probe_bit_read(int32_t n, const uint8_t *bits, int32_t *values);
void probe_bit_write(int32_t n, uint8_t *bits, const int32_t *index, const int32_t *values);
void probe_bits_write(int32_t n, uint8_t *bits, int32_t count, const uint32_t *values);
void probe_extrema(int32_t n, const float *a, const float *b, float *max, float *min);

#endif
