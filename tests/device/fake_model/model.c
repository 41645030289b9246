#include "model.h"

#include <string.h>

/* e^x for x <= 0: the Taylor series on x / 1024, squared ten times. */
static float exp_negative(float x)
{
    float y = x < -80.0f ? -80.0f : x;
    y *= 1.0f / 1024.0f;
    y = 1.0f + y * (1.0f + y * (0.5f + y * (1.0f / 6.0f)));
    for (int i = 0; i < 10; i++) y *= y;
    return y;
}

/* Natural logarithm of x in [1e-35, 1] by Newton's method on exp_negative. */
static float log_below_one(float x)
{
    float y = 0.0f;
    for (int i = 0; i < 100; i++) y += x / exp_negative(y) - 1.0f > 1.0f ? 1.0f : x / exp_negative(y) - 1.0f;
    return y;
}

int odt_init(odt_t *odt, void *arena, size_t arena_bytes)
{
    if (odt == NULL || arena == NULL) return ODT_ERR_NULL;
    if (arena_bytes < ODT_ARENA_BYTES) return ODT_ERR_ARENA;
    memset(odt, 0, sizeof *odt);
    odt->learning_rate = 0.01f;
    odt->arena = (uint8_t *)arena;
    return ODT_OK;
}

int odt_set_learning_rate(odt_t *odt, float learning_rate)
{
    if (!(learning_rate >= 0.0f && learning_rate < 1e6f)) return ODT_ERR_LEARNING_RATE;
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
    return (odt_input_t *)odt->arena;
}

int odt_predict(odt_t *odt, const odt_input_t *input, float *output)
{
    for (uint32_t c = 0; c < ODT_OUTPUT_ELEMENTS; c++) {
        float sum = odt->params.bias[c];
        for (uint32_t i = 0; i < ODT_INPUT_ELEMENTS; i++)
            sum += odt->params.weight[c * ODT_INPUT_ELEMENTS + i] * (float)input[i] * 0.0078125f;
        output[c] = sum;
    }
    return ODT_OK;
}

/* Output, loss, and the gradient of the loss with respect to the output. */
static int forward(odt_t *odt, const odt_input_t *input, int32_t label, float *output, float *loss,
                   float *gradient)
{
    float sum = 0.0f;
    float top;
    if (label < 0 || label >= (int32_t)ODT_OUTPUT_ELEMENTS) return ODT_ERR_LABEL;
    odt_predict(odt, input, output);
    top = output[0];
    for (uint32_t c = 1; c < ODT_OUTPUT_ELEMENTS; c++) top = output[c] > top ? output[c] : top;
    for (uint32_t c = 0; c < ODT_OUTPUT_ELEMENTS; c++)
        sum += gradient[c] = exp_negative(output[c] - top);
    for (uint32_t c = 0; c < ODT_OUTPUT_ELEMENTS; c++) gradient[c] /= sum;
    *loss = -log_below_one(gradient[label] < 1e-30f ? 1e-30f : gradient[label]);
    gradient[label] -= 1.0f;
    return ODT_OK;
}

int odt_evaluate(odt_t *odt, const odt_input_t *input, const odt_target_t *target, float *output,
                 float *loss)
{
    float gradient[ODT_OUTPUT_ELEMENTS];
    return forward(odt, input, *target, output, loss, gradient);
}

int odt_train_step(odt_t *odt, const odt_input_t *input, const odt_target_t *target, float *loss)
{
    float output[ODT_OUTPUT_ELEMENTS];
    float gradient[ODT_OUTPUT_ELEMENTS];
    const int status = forward(odt, input, *target, output, loss, gradient);
    if (status != ODT_OK) return status;
    for (uint32_t c = 0; c < ODT_OUTPUT_ELEMENTS; c++) {
        const float d = gradient[c] * odt->learning_rate;
        odt->params.bias[c] -= d;
        for (uint32_t i = 0; i < ODT_INPUT_ELEMENTS; i++)
            odt->params.weight[c * ODT_INPUT_ELEMENTS + i] -= d * (float)input[i] * 0.0078125f;
    }
    odt->steps++;
    return ODT_OK;
}

#ifdef ODT_REPLAY_SLOTS
int odt_check_sample(const odt_t *odt, const odt_input_t *input, const odt_target_t *target)
{
    if (odt == NULL || input == NULL || target == NULL) return ODT_ERR_NULL;
    return *target < 0 || *target >= (int32_t)ODT_OUTPUT_ELEMENTS ? ODT_ERR_LABEL : ODT_OK;
}
#endif
