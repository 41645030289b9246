#include "model.h"

#include "odt_kernels.h"

int odt_init(odt_t *odt, void *arena, size_t arena_bytes)
{
    odt->params.none = 0.0f;
    odt->learning_rate = 0.0f;
    odt->seed = 0;
    odt->steps = 0;
    odt->arena = (uint8_t *)arena;
    return arena_bytes >= ODT_ARENA_BYTES ? ODT_OK : -2;
}

int odt_set_learning_rate(odt_t *odt, float learning_rate)
{
    odt->learning_rate = learning_rate;
    return ODT_OK;
}

int odt_set_seed(odt_t *odt, uint32_t seed)
{
    odt->seed = seed;
    return ODT_OK;
}

odt_input_t *odt_input(odt_t *odt)
{
    return (odt_input_t *)(void *)odt->arena;
}

int odt_predict(odt_t *odt, const odt_input_t *input, float *output)
{
    const uint32_t n = ODT_INPUT_ELEMENTS;
    uint32_t not_finite = 0;
    (void)odt;
    for (uint32_t i = 0; i < n; i++) {
        const float x = input[i];
        const int32_t updated = odt_update_code(5, x, (1 << 30) - 1, 7u, i, &not_finite);
        const int32_t code = (int32_t)(i % 256u) - 128;
        output[0 * n + i] = odt_expf(x);
        output[1 * n + i] = odt_logf(x);
        output[2 * n + i] = odt_tanhf(x);
        output[3 * n + i] = odt_sigmoidf(x);
        output[4 * n + i] = odt_sqrtf(x);
        output[5 * n + i] = odt_fabsf(x);
        output[6 * n + i] = odt_floorf(x);
        output[7 * n + i] = odt_nearbyintf(x);
        output[8 * n + i] = odt_erff(x);
        output[9 * n + i] = odt_float_of((uint32_t)updated);
        const int32_t code8 = odt_update_code(code, x, 127, 7u, i, &not_finite);
        output[10 * n + i] = odt_float_of((uint32_t)code8);
        output[11 * n + i] = odt_float_of((uint32_t)odt_clamp8(updated));
    }
    return ODT_OK;
}

int odt_train_step(odt_t *odt, const odt_input_t *input, const odt_target_t *target, float *loss)
{
    (void)input;
    (void)target;
    *loss = 0.0f;
    odt->steps++;
    return ODT_OK;
}

void probe_update(int32_t n, const int32_t *code, const float *step, int32_t limit,
                  const uint32_t *seed, const uint32_t *index, int32_t *result,
                  uint32_t *not_finite)
{
    for (int32_t i = 0; i < n; i++) {
        not_finite[i] = 0;
        result[i] = odt_update_code(code[i], step[i], limit, seed[i], index[i], not_finite + i);
    }
}

void probe_bit_read(int32_t n, const uint8_t *bits, int32_t *values)
{
    for (int32_t i = 0; i < n; i++) values[i] = odt_bit_read(bits, i);
}

void probe_bit_write(int32_t n, uint8_t *bits, const int32_t *index, const int32_t *values)
{
    for (int32_t i = 0; i < n; i++) odt_bit_write(bits, index[i], values[i]);
}

void probe_bits_write(int32_t n, uint8_t *bits, int32_t count, const uint32_t *values)
{
    for (int32_t i = 0; i < n; i++) odt_bits_write(bits, i * count, count, values[i]);
}

void probe_extrema(int32_t n, const float *a, const float *b, float *max, float *min)
{
    for (int32_t i = 0; i < n; i++) {
        max[i] = odt_maxf(a[i], b[i]);
        min[i] = odt_minf(a[i], b[i]);
    }
}

int odt_evaluate(odt_t *odt, const odt_input_t *input, const odt_target_t *target, float *output,
                 float *loss)
{
    (void)target;
    *loss = 0.0f;
    return odt_predict(odt, input, output);
}
