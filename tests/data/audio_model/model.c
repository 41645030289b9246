#include "model.h"

#include "odt_audio_front_end.h"

#define FRAMES (ODT_OUTPUT_ELEMENTS / ODT_AUDIO_FEATURES)

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

/* Features first, as a network of 1D convolutions has them. */
int odt_predict(odt_t *odt, const odt_input_t *input, float *output)
{
    static int16_t samples[ODT_AUDIO_SAMPLES(FRAMES)];
    static float work[ODT_AUDIO_WORK];
    (void)odt;
    for (uint32_t i = 0; i < ODT_AUDIO_SAMPLES(FRAMES); i++) samples[i] = (int16_t)input[i];
    odt_audio_frames(&odt_audio_front_end, samples, FRAMES, work, output, 1, FRAMES);
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
    (void)input;
    (void)target;
    *loss = 0.0f;
    odt->steps++;
    return ODT_OK;
}
