/*
 * nor: NOR flash as its data sheets have it, and the ways in which it fails.
 *
 * Programming clears bits of erased units, erasing sets those of a block. Whatever a driver must
 * not do (leave the area, program half a unit, cross a block, program what is not erased) is
 * counted in `violations` and refused.
 */
#ifndef NOR_H
#define NOR_H

#include <stdint.h>

#include "odt_store.h"

#define NOR_BYTES 32768u /* of the largest area */
#define NEVER UINT32_MAX

/* What an operation that power leaves has done, and what it has not. */
enum nor_cut {
    CUT_CLEAN,   /* the first `amount` bytes are done */
    CUT_BITS,    /* and some bits of the byte behind them */
    CUT_SCATTER, /* and some bits of all its other bytes */
    CUT_TAIL,    /* the last `amount` bytes are done */
    CUT_KINDS
};

typedef struct nor {
    uint8_t bytes[NOR_BYTES];
    uint32_t size; /* of this area */
    uint32_t unit, block;
    uint32_t violations;

    uint32_t operations; /* programs and erases so far */
    uint32_t fail_at;    /* the operation that fails, or NEVER */
    int powerless;       /* since then nothing works; else only that one reports a failure */
    int power_fails;     /* whether fail_at is a loss of power */
    enum nor_cut cut;
    uint32_t amount; /* of the operation's bytes; more counts as all */
    uint32_t last_bytes; /* of the latest operation */
    uint32_t noise;  /* state of the generator */

    uint32_t stuck;        /* offset of a byte whose lowest bit cannot be cleared, or NEVER */
    uint32_t reads;        /* so far */
    uint32_t fail_read_at; /* the read that fails, or NEVER */
    uint32_t flip_read_at; /* the read whose first bit comes out wrong, or NEVER */
} nor_t;

/* An erased area. */
void nor_init(nor_t *nor, uint32_t unit, uint32_t block, uint32_t count);

/* Nothing fails any more, and all counters begin anew: power is back. */
void nor_restart(nor_t *nor);

/* The flash as odt_store wants it. */
odt_flash_t nor_flash(nor_t *nor);

/* A number of the generator. */
uint32_t nor_noise(nor_t *nor);

#endif
