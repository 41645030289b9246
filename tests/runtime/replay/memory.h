/* memory: the ring of odt_replay.h with samples that are numbers. */
#ifndef MEMORY_H
#define MEMORY_H

#include "nor.h"
#include "odt_replay.h"

#define GARBAGE (-1000) /* what memory_read() says of a sample that was never added */

/* The device, with flash of blocks for two slots of the store and for the ring. */
typedef struct memory {
    nor_t nor;
    odt_flash_t flash;
    uint8_t arena[ODT_ARENA_BYTES];
    odt_t odt;
    odt_replay_t replay;
} memory_t;

void memory_init(memory_t *memory, uint32_t unit, uint32_t block, uint32_t seed);

/* Power is back: RAM is anew, flash as it is. What odt_replay_init() returns. */
int memory_restart(memory_t *memory);

/* Adds the sample of this number and label: what odt_replay_add() returns. */
int memory_add(memory_t *memory, uint32_t number, int32_t label);

/* The number in a slot, 0 if it is empty, GARBAGE or an error. */
int64_t memory_read(memory_t *memory, uint32_t slot);

/* A step on a sample that is drawn: its number, or an error. */
int64_t memory_train(memory_t *memory);

#endif
