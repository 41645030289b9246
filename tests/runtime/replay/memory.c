#include "memory.h"

#include <string.h>

int odt_init(odt_t *odt, void *arena, size_t arena_bytes)
{
    (void)arena_bytes;
    memset(odt, 0, sizeof *odt);
    odt->learning_rate = 0.5f;
    odt->arena = (uint8_t *)arena;
    return ODT_OK;
}

int odt_set_learning_rate(odt_t *odt, float learning_rate)
{
    odt->learning_rate = learning_rate;
    return ODT_OK;
}

odt_input_t *odt_input(odt_t *odt)
{
    return (odt_input_t *)(void *)odt->arena;
}

int odt_check_sample(const odt_t *odt, const odt_input_t *input, const odt_target_t *target)
{
    (void)odt;
    (void)input;
    return *target < 0 || *target >= (int32_t)ODT_OUTPUT_ELEMENTS ? ODT_ERR_LABEL : ODT_OK;
}

/* All bytes of a sample follow from its number. */
static void fill(odt_input_t *input, uint32_t number)
{
    uint32_t x = number * 2654435761u;
    memcpy(input, &number, sizeof number);
    for (uint32_t i = sizeof number; i < ODT_INPUT_ELEMENTS; i++) {
        x = x * 1664525u + 1013904223u;
        input[i] = (int8_t)(x >> 24);
    }
}

static int64_t number_of(const odt_input_t *input)
{
    odt_input_t wanted[ODT_INPUT_ELEMENTS];
    uint32_t number;
    memcpy(&number, input, sizeof number);
    fill(wanted, number);
    return memcmp(wanted, input, sizeof wanted) == 0 ? (int64_t)number : GARBAGE;
}

int odt_train_step(odt_t *odt, const odt_input_t *input, const odt_target_t *target, float *loss)
{
    odt->params.number = (uint32_t)number_of(input);
    odt->steps++;
    *loss = (float)*target;
    return ODT_OK;
}

void memory_init(memory_t *memory, uint32_t unit, uint32_t block, uint32_t seed)
{
    memset(memory, 0, sizeof *memory);
    nor_init(&memory->nor, unit, block, 2 + ODT_REPLAY_BLOCKS(unit, block));
    memory->odt.seed = seed;
    (void)memory_restart(memory);
}

int memory_restart(memory_t *memory)
{
    const uint32_t seed = memory->odt.seed;
    nor_restart(&memory->nor);
    memory->flash = nor_flash(&memory->nor);
    (void)odt_init(&memory->odt, memory->arena, sizeof memory->arena);
    memory->odt.seed = seed;
    memset(&memory->replay, 0x55, sizeof memory->replay);
    return odt_replay_init(&memory->replay, &memory->flash);
}

int memory_add(memory_t *memory, uint32_t number, int32_t label)
{
    const odt_target_t target = label;
    fill(odt_input(&memory->odt), number);
    return odt_replay_add(&memory->replay, &memory->odt, odt_input(&memory->odt), &target);
}

int64_t memory_read(memory_t *memory, uint32_t slot)
{
    const int status = odt_replay_read(&memory->replay, slot, odt_input(&memory->odt));
    if (status == ODT_ERR_NO_SAMPLES) return 0;
    if (status != ODT_OK) return status;
    if (*memory->replay.target != (odt_target_t)memory->replay.labels[slot]) return GARBAGE;
    return number_of(odt_input(&memory->odt));
}

int64_t memory_train(memory_t *memory)
{
    float loss;
    const int status = odt_train_replay(&memory->odt, &memory->replay, &loss);
    return status == ODT_OK ? (int64_t)memory->odt.params.number : status;
}
