/*
 * cuts: adds samples and cuts the power, everywhere. Prints the first thing that is wrong and ends
 * with 1.
 *
 *     cuts UNIT BLOCK ADDS     so many samples, the power cut in each operation of each
 *     cuts UNIT BLOCK chain    one life of a device that loses power time and again
 *     cuts UNIT BLOCK wear     prints how many blocks were erased, and the most at one place
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"

#define CLASSES 5u

typedef struct held {
    int64_t numbers[ODT_REPLAY_SLOTS];
} held_t;

static void expect(int holds, const memory_t *memory, const char *what, long a, long b)
{
    if (holds && memory->nor.violations == 0) return;
    printf("%s (%ld, %ld); %lu violations\n", what, a, b, (unsigned long)memory->nor.violations);
    exit(1);
}

static int add(memory_t *memory, uint32_t number)
{
    return memory_add(memory, number, (int32_t)(number * number % CLASSES));
}

static held_t held(memory_t *memory)
{
    held_t found;
    for (uint32_t slot = 0; slot < ODT_REPLAY_SLOTS; slot++) {
        found.numbers[slot] = memory_read(memory, slot);
        expect(found.numbers[slot] >= 0, memory, "a slot reads", (long)slot,
               (long)found.numbers[slot]);
    }
    return found;
}

/* Power is back: each slot holds what it held, or the sample that was being added. */
static held_t restart(memory_t *memory, const held_t *before, uint32_t number)
{
    const int status = memory_restart(memory);
    const held_t after = held(memory);
    expect(status == ODT_OK, memory, "restarting returned", status, number);
    for (uint32_t slot = 0; slot < ODT_REPLAY_SLOTS; slot++)
        expect(after.numbers[slot] == before->numbers[slot] || after.numbers[slot] == number,
               memory, "a slot lost its sample", (long)slot, (long)after.numbers[slot]);
    return after;
}

/* Adds a sample and loses power on the way, on a copy; all has to go on from there. */
static void cut_once(const memory_t *memory, const held_t *before, uint32_t number, uint32_t at,
                     uint32_t cut, uint32_t amount)
{
    static memory_t copy;
    held_t after;
    copy = *memory;
    copy.replay.flash = &copy.flash;
    copy.flash = nor_flash(&copy.nor);
    copy.odt.arena = copy.arena;
    copy.nor.operations = 0;
    copy.nor.fail_at = at;
    copy.nor.power_fails = 1;
    copy.nor.cut = (enum nor_cut)cut;
    copy.nor.amount = amount;
    expect(add(&copy, number) == -32, &copy, "an add that was cut succeeded", at, number);
    after = restart(&copy, before, number);
    for (uint32_t next = number + 1; next < number + 4; next++) {
        expect(add(&copy, next) >= 0, &copy, "the add after the cut failed", at, next);
        after = restart(&copy, &after, next);
    }
}

static void sweep(memory_t *memory, uint32_t adds)
{
    static memory_t next;
    for (uint32_t number = 1; number <= adds; number++) {
        const held_t before = held(memory);
        next = *memory;
        next.replay.flash = &next.flash;
        next.flash = nor_flash(&next.nor);
        next.odt.arena = next.arena;
        next.nor.operations = 0;
        expect(add(&next, number) >= 0, &next, "an add failed", number, 0);
        for (uint32_t at = 0; at < next.nor.operations; at++)
            for (uint32_t cut = 0; cut < CUT_KINDS; cut++)
                for (uint32_t amount = 0; amount < 64; amount = amount * 2 + 1)
                    cut_once(memory, &before, number, at, cut, amount);
        expect(add(memory, number) >= 0, memory, "an add failed", number, 1);
    }
}

static void chain(memory_t *memory)
{
    held_t before = held(memory);
    uint32_t whole = 0;
    for (uint32_t number = 1; number <= 3000; number++) {
        memory->nor.fail_at = nor_noise(&memory->nor) % 16; /* some adds have fewer operations */
        memory->nor.power_fails = 1;
        memory->nor.cut = (enum nor_cut)(nor_noise(&memory->nor) % CUT_KINDS);
        memory->nor.amount = nor_noise(&memory->nor) % 80;
        whole += add(memory, number) >= 0;
        before = restart(memory, &before, number);
    }
    expect(whole > 100, memory, "too few adds for a test", whole, 0);
}

static void wear(memory_t *memory)
{
    for (uint32_t number = 1; number <= 2000; number++)
        expect(add(memory, number) >= 0, memory, "an add failed", number, 0);
    const uint32_t erases = memory->replay.erases;
    expect(memory_restart(memory) == ODT_OK && memory->replay.erases == erases, memory,
           "wear is forgotten", erases, memory->replay.erases);
    printf("%lu", (unsigned long)erases);
}

int main(int argc, char **argv)
{
    static memory_t memory;
    if (argc != 4) return 2;
    memory_init(&memory, (uint32_t)atoi(argv[1]), (uint32_t)atoi(argv[2]), 7);
    if (strcmp(argv[3], "chain") == 0)
        chain(&memory);
    else if (strcmp(argv[3], "wear") == 0)
        wear(&memory);
    else
        sweep(&memory, (uint32_t)atoi(argv[3]));
    return 0;
}
