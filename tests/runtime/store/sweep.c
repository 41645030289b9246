/*
 * sweep: saves and cuts the power, everywhere. Prints the first thing that is wrong and ends
 * with 1.
 *
 *     sweep UNIT BLOCK COUNT SAVES      hundreds of saves, each cut in every operation
 *     sweep UNIT BLOCK COUNT bytes      a few saves, each cut behind every byte
 *     sweep UNIT BLOCK COUNT chain      one life of a device that loses power time and again
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"

static const char *place; /* what is being done, for the message */

static void expect(int holds, const nor_t *nor, const char *what, long a, long b)
{
    if (holds && nor->violations == 0) return;
    printf("%s: %s (%ld, %ld); operation %lu, cut %d after %lu bytes; %lu violations\n", place,
           what, a, b, (unsigned long)nor->fail_at, nor->cut, (unsigned long)nor->amount,
           (unsigned long)nor->violations);
    exit(1);
}

/* The state after a restart, which has to be `state` or the one after it. */
static uint32_t restart(nor_t *nor, uint32_t state)
{
    const nor_t before = *nor;
    uint32_t loaded;
    int status;
    nor_restart(nor);
    status = device_load(nor, &loaded, NULL);
    expect(status != GARBAGE, &before, "garbage was loaded", loaded, state);
    expect(loaded == state || loaded == state + 1, &before, "wrong state", loaded, state);
    expect(status == ODT_OK || state == 0, &before, "nothing was loaded", status, state);
    return loaded;
}

/* Saves state + 1 and loses power on the way, on a copy; everything has to go on from there.
 * Returns how many bytes the operation had that was cut. */
static uint32_t cut_once(const nor_t *nor, uint32_t state, uint32_t operation, enum nor_cut cut,
                         uint32_t amount)
{
    static nor_t copy;
    uint32_t bytes, loaded;
    copy = *nor;
    copy.fail_at = operation;
    copy.power_fails = 1;
    copy.cut = cut;
    copy.amount = amount;
    const int status = device_save(&copy, state + 1, NULL);
    expect(status == ODT_ERR_FLASH, &copy, "a save that was cut returned", status, state);
    bytes = copy.last_bytes;
    loaded = restart(&copy, state);
    place = "the save after the cut";
    expect(device_save(&copy, loaded + 1, NULL) == ODT_OK, &copy, "failed", loaded, state);
    expect(restart(&copy, loaded) == loaded + 1, &copy, "was lost", loaded, state);
    place = "the cut save";
    return bytes;
}

/* Cuts the save of state + 1 in each of its operations: behind every byte, or at both ends and
 * somewhere between. */
static void cut_everywhere(nor_t *nor, uint32_t state, uint32_t operations, int every_byte)
{
    for (uint32_t operation = 0; operation < operations; operation++)
        for (int cut = 0; cut < CUT_KINDS; cut++) {
            const uint32_t bytes = cut_once(nor, state, operation, (enum nor_cut)cut, 0);
            /* of a block, each byte of an image, and what lies behind it now and then */
            for (uint32_t at = 1; every_byte && at < bytes; at += at > 700 ? 97 : 1)
                cut_once(nor, state, operation, (enum nor_cut)cut, at);
            cut_once(nor, state, operation, (enum nor_cut)cut, nor_noise(nor) % bytes);
            cut_once(nor, state, operation, (enum nor_cut)cut, bytes - 1);
            cut_once(nor, state, operation, (enum nor_cut)cut, bytes);
        }
}

/* The operation fails though it did its work; later ones succeed: the newest image has to stay. */
static void fail_everywhere(const nor_t *nor, uint32_t state, uint32_t operations)
{
    static nor_t copy;
    place = "the save on flash that fails";
    for (uint32_t operation = 0; operation < operations; operation++) {
        copy = *nor;
        copy.fail_at = operation;
        copy.amount = NEVER;
        const int status = device_save(&copy, state + 1, NULL);
        expect(status == ODT_ERR_FLASH, &copy, "returned", status, operation);
        expect(restart(&copy, state) == state, &copy, "counts", state, operation);
    }
}

static void sweep(nor_t *nor, uint32_t saves, int every_byte)
{
    for (uint32_t state = 0; state < saves; state++) {
        static nor_t next;
        next = *nor;
        place = "a save";
        const int status = device_save(&next, state + 1, NULL);
        expect(status == ODT_OK, &next, "failed", status, state);
        place = "the cut save";
        cut_everywhere(nor, state, next.operations, every_byte);
        fail_everywhere(nor, state, next.operations);
        *nor = next;
        expect(restart(nor, state) == state + 1, nor, "the save was lost", state, 0);
    }
}

static void chain(nor_t *nor)
{
    uint32_t state = 0;
    for (uint32_t life = 0; life < 2000; life++) {
        place = "a life with cuts";
        nor->fail_at = nor_noise(nor) % 12; /* some saves have fewer operations and succeed */
        nor->power_fails = 1;
        nor->cut = (enum nor_cut)(nor_noise(nor) % CUT_KINDS);
        nor->amount = nor_noise(nor) % (nor_noise(nor) % 2 ? 300 : 64);
        const int status = device_save(nor, state + 1, NULL);
        const uint32_t loaded = restart(nor, state);
        expect(status == ODT_ERR_FLASH || loaded == state + 1, nor, "a save was lost", status,
               state);
        state = loaded;
    }
    expect(state > 300, nor, "too few saves for a test", state, 300);
}

int main(int argc, char **argv)
{
    static nor_t nor;
    if (argc != 5) return 2;
    nor_init(&nor, (uint32_t)atoi(argv[1]), (uint32_t)atoi(argv[2]), (uint32_t)atoi(argv[3]));
    if (strcmp(argv[4], "chain") == 0)
        chain(&nor);
    else if (strcmp(argv[4], "bytes") == 0)
        sweep(&nor, 3, 1);
    else
        sweep(&nor, (uint32_t)atoi(argv[4]), 0);
    return 0;
}
