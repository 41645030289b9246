/* What the checks of odt_dot.h and odt_window.h share: random numbers, and buffers with guards. */
#ifndef CHECK_H
#define CHECK_H

#include <stdint.h>

static uint32_t random_state; /* starts at 0: there is no start-up code to set it */

/* 0 ... below - 1 */
static int32_t random_below(int32_t below)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (int32_t)((random_state >> 8) % (uint32_t)below);
}

static int32_t random_between(int32_t low, int32_t high)
{
    return low + random_below(high - low + 1);
}

/* In one case of four only the ends of the range, which give the largest sums. */
static int random_extremes(void)
{
    return random_below(4) == 0;
}

static int32_t random_element(int32_t low, int32_t high, int extremes)
{
    return extremes ? (random_below(2) ? low : high) : random_between(low, high);
}

static void fill8(int8_t *to, int32_t count)
{
    const int extremes = random_extremes();
    for (int32_t i = 0; i < count; i++) to[i] = (int8_t)random_element(-128, 127, extremes);
}

/* Ends the check: the line of what did not hold. */
#define CHECK(what) \
    do {            \
        if (!(what)) return __LINE__; \
    } while (0)

#endif
