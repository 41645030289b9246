/*
 * Int8 operators as one writes them down first: channels-last, one output at a time, a 64-bit
 * multiplication for each result. Zero points are 0.
 */
#include "model.h"

enum { SIZE = 16, ARENA_Y = 24576, ARENA_WEIGHT = 49152, ARENA_MULTIPLIER = 61440 };

static int8_t requantize(int32_t sum, int32_t multiplier)
{
    const int32_t code = (int32_t)(((int64_t)sum * multiplier + (1 << 30)) >> 31);
    return (int8_t)(code < -128 ? -128 : code > 127 ? 127 : code);
}

/* x (16, 16, 48), w (96, 48), y (16, 16, 96) */
static void conv_1x1(const int8_t *x, const int8_t *w, const int32_t *multiplier, int8_t *y)
{
    for (int p = 0; p < SIZE * SIZE; p++)
        for (int o = 0; o < 96; o++) {
            int32_t sum = 0;
            for (int c = 0; c < 48; c++) sum += x[p * 48 + c] * w[o * 48 + c];
            y[p * 96 + o] = requantize(sum, multiplier[o]);
        }
}

/* x and y (16, 16, 96), w (3, 3, 96) */
static void conv_depthwise(const int8_t *x, const int8_t *w, const int32_t *multiplier, int8_t *y)
{
    for (int i = 0; i < SIZE; i++)
        for (int j = 0; j < SIZE; j++)
            for (int c = 0; c < 96; c++) {
                int32_t sum = 0;
                for (int u = 0; u < 3; u++)
                    for (int v = 0; v < 3; v++) {
                        const int row = i + u - 1, column = j + v - 1;
                        if (row < 0 || row >= SIZE || column < 0 || column >= SIZE) continue;
                        sum += x[(row * SIZE + column) * 96 + c] * w[(u * 3 + v) * 96 + c];
                    }
                y[(i * SIZE + j) * 96 + c] = requantize(sum, multiplier[c]);
            }
}

/* x and y (16, 16, 32), w (32, 3, 3, 32) */
static void conv_3x3(const int8_t *x, const int8_t *w, const int32_t *multiplier, int8_t *y)
{
    for (int i = 0; i < SIZE; i++)
        for (int j = 0; j < SIZE; j++)
            for (int o = 0; o < 32; o++) {
                int32_t sum = 0;
                for (int u = 0; u < 3; u++)
                    for (int v = 0; v < 3; v++) {
                        const int row = i + u - 1, column = j + v - 1;
                        if (row < 0 || row >= SIZE || column < 0 || column >= SIZE) continue;
                        for (int c = 0; c < 32; c++)
                            sum += x[(row * SIZE + column) * 32 + c] *
                                   w[((o * 3 + u) * 3 + v) * 32 + c];
                    }
                y[(i * SIZE + j) * 32 + o] = requantize(sum, multiplier[o]);
            }
}

/* x (16, 16, 48) and, behind it, the other operand; y (16, 16, 48) */
static void residual_add(const int8_t *x, const int32_t *multiplier, int8_t *y)
{
    for (int i = 0; i < SIZE * SIZE * 48; i++) {
        const int64_t left = (int64_t)x[i] * multiplier[0];
        const int64_t right = (int64_t)x[SIZE * SIZE * 48 + i] * multiplier[1];
        const int32_t code = (int32_t)((left + right + (1 << 23)) >> 24);
        y[i] = (int8_t)(code < -128 ? -128 : code > 127 ? 127 : code);
    }
}

int odt_init(odt_t *odt, void *arena, size_t arena_bytes)
{
    uint32_t random = 1;
    odt->steps = 0;
    odt->arena = (uint8_t *)arena;
    for (size_t i = ARENA_WEIGHT; i < arena_bytes; i++) {
        random = random * 1664525u + 1013904223u;
        odt->arena[i] = (uint8_t)(random >> 24);
    }
    return ODT_OK;
}

int odt_set_learning_rate(odt_t *odt, float learning_rate)
{
    (void)odt;
    (void)learning_rate;
    return ODT_OK;
}

int odt_set_seed(odt_t *odt, uint32_t seed)
{
    (void)odt;
    (void)seed;
    return ODT_OK;
}

odt_input_t *odt_input(odt_t *odt)
{
    return (odt_input_t *)odt->arena;
}

int odt_predict(odt_t *odt, const odt_input_t *input, float *output)
{
    const int8_t *w = (const int8_t *)odt->arena + ARENA_WEIGHT;
    const int32_t *multiplier = (const int32_t *)(void *)(odt->arena + ARENA_MULTIPLIER);
    int8_t *y = (int8_t *)odt->arena + ARENA_Y;
    conv_1x1(input, w, multiplier, y);
    conv_depthwise(input, w, multiplier, y);
    conv_3x3(input, w, multiplier, y);
    residual_add(input, multiplier, y);
    *output = y[0];
    return ODT_OK;
}

int odt_evaluate(odt_t *odt, const odt_input_t *input, const odt_target_t *target, float *output,
                 float *loss)
{
    (void)target;
    *loss = 0.0f;
    return odt_predict(odt, input, output);
}

int odt_train_step(odt_t *odt, const odt_input_t *input, const odt_target_t *target, float *loss)
{
    (void)odt;
    (void)input;
    (void)target;
    *loss = 0.0f;
    return ODT_OK;
}
