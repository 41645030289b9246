#include "odt_replay.h"

#ifdef ODT_REPLAY_SLOTS

#include <string.h>

#include "odt_ring.h"
#include "odt_store.h"

#if ODT_REPLAY_POLICY == ODT_REPLAY_BALANCED && !ODT_REPLAY_HAS_LABELS
#error "odt_replay: only labels have classes to be balanced"
#endif

#define SLOTS ((uint32_t)ODT_REPLAY_SLOTS)

static int check(const odt_replay_t *replay, const odt_t *odt)
{
    if (replay == NULL || odt == NULL || odt->arena == NULL || replay->state == 0)
        return ODT_ERR_NULL;
    return replay->state < 0 ? replay->state : ODT_OK;
}

/* Number `number` of the sequence that `seed` begins, below `bound`: the mixer of MurmurHash3 over
 * a Weyl sequence. */
static uint32_t random_below(uint32_t seed, uint32_t number, uint32_t bound)
{
    uint32_t x = seed + number * 0x9e3779b9u;
    x = (x ^ x >> 16) * 0x85ebca6bu;
    x = (x ^ x >> 13) * 0xc2b2ae35u;
    x ^= x >> 16;
    return (uint32_t)((uint64_t)x * bound >> 32);
}

/* How many slots have this label. */
static uint32_t count(const odt_replay_t *replay, uint32_t label)
{
    uint32_t found = 0;
    for (uint32_t slot = 0; slot < SLOTS; slot++) found += replay->labels[slot] == label;
    return found;
}

uint32_t odt_replay_held(const odt_replay_t *replay)
{
    return replay == NULL || replay->state != 1 ? 0 : SLOTS - count(replay, ODT_REPLAY_EMPTY);
}

#if ODT_REPLAY_POLICY != ODT_REPLAY_RING
/* The numbers of the sequence that adding takes are even, those of drawing odd. */
static uint32_t random_of_sample(const odt_t *odt, uint32_t seen, uint32_t bound)
{
    return random_below(odt->seed, 2 * seen, bound);
}

static uint32_t first_empty(const odt_replay_t *replay)
{
    uint32_t slot = 0;
    while (slot < SLOTS && replay->labels[slot] != ODT_REPLAY_EMPTY) slot++;
    return slot;
}
#endif

#if ODT_REPLAY_POLICY == ODT_REPLAY_BALANCED
/* The slot with the `index`-th of this label. */
static uint32_t find(const odt_replay_t *replay, uint32_t label, uint32_t index)
{
    uint32_t slot = 0;
    while (replay->labels[slot] != label || index-- > 0) slot++;
    return slot;
}

/* The class with most slots. */
static uint32_t largest_class(const odt_replay_t *replay)
{
    uint32_t largest = 0;
    for (uint32_t label = 1; label < ODT_OUTPUT_ELEMENTS; label++)
        if (count(replay, label) > count(replay, largest)) largest = label;
    return largest;
}

/* A class that has room to make takes it from the largest; else it is a reservoir of its own. */
static uint32_t choose_balanced(const odt_replay_t *replay, const odt_t *odt, uint32_t seen,
                                uint32_t label)
{
    const uint32_t largest = largest_class(replay);
    const uint32_t own = count(replay, label), most = count(replay, largest);
    const uint32_t index = random_of_sample(odt, seen, replay->seen_of[label] + 1);
    if (own + 1 < most) return find(replay, largest, random_of_sample(odt, seen, most));
    return index < own ? find(replay, label, index) : SLOTS;
}
#endif

/* The slot of sample number `seen`, from 1 on; SLOTS if it is not to be kept. */
static uint32_t choose(const odt_replay_t *replay, const odt_t *odt, uint32_t seen, uint32_t label)
{
#if ODT_REPLAY_POLICY == ODT_REPLAY_RING
    (void)replay;
    (void)odt;
    (void)label;
    return (seen - 1) % SLOTS;
#else
    const uint32_t empty = first_empty(replay);
    if (empty < SLOTS) return empty;
#if ODT_REPLAY_POLICY == ODT_REPLAY_BALANCED
    return choose_balanced(replay, odt, seen, label);
#else
    const uint32_t index = random_of_sample(odt, seen, seen);
    (void)label;
    return index < SLOTS ? index : SLOTS;
#endif
#endif
}

int odt_replay_init(odt_replay_t *replay, const odt_flash_t *flash)
{
    if (replay == NULL) return ODT_ERR_NULL;
    memset(replay, 0, sizeof *replay);
    memset(replay->labels, 0xff, sizeof replay->labels);
    const int status = odt_ring_open(replay, flash);
    replay->state = status == ODT_OK ? 1 : status;
    return status;
}

/* Puts a sample into a slot, or its features. */
static int write(odt_replay_t *replay, odt_t *odt, uint32_t slot, uint32_t seen, uint32_t seen_of,
                 const odt_target_t *target, const odt_input_t *input)
{
#ifdef ODT_REPLAY_OF_FEATURES
    const int status = odt_features(odt, input, replay->features);
    if (status != ODT_OK) return status;
    return odt_ring_write(replay, slot, seen, seen_of, target, replay->features);
#else
    (void)odt;
    return odt_ring_write(replay, slot, seen, seen_of, target, input);
#endif
}

int odt_replay_add(odt_replay_t *replay, odt_t *odt, const odt_input_t *input,
                   const odt_target_t *target)
{
    uint32_t seen, seen_of = 0, slot, label;
    int status = check(replay, odt);
    if (status != ODT_OK) return status;
    status = odt_check_sample(odt, input, target);
    if (status != ODT_OK) return status;

    label = odt_ring_label(target);
    seen = replay->seen + 1;
#if ODT_REPLAY_POLICY == ODT_REPLAY_BALANCED
    seen_of = replay->seen_of[label] + 1;
#endif
    slot = choose(replay, odt, seen, label);
    if (slot < SLOTS) status = write(replay, odt, slot, seen, seen_of, target, input);
    if (status != ODT_OK) return status;
    replay->seen = seen;
#if ODT_REPLAY_POLICY == ODT_REPLAY_BALANCED
    replay->seen_of[label] = seen_of;
#endif
    if (slot == SLOTS) return 0;
    replay->labels[slot] = (uint16_t)label;
    return 1;
}

int odt_replay_draw(odt_replay_t *replay, const odt_t *odt, uint32_t *slot)
{
    int status = check(replay, odt);
    if (status == ODT_OK && slot == NULL) status = ODT_ERR_NULL;
    if (status != ODT_OK) return status;
    const uint32_t held = odt_replay_held(replay);
    if (held == 0) return ODT_ERR_NO_SAMPLES;
    uint32_t index = random_below(odt->seed, 2 * replay->drawn++ + 1, held);
    *slot = 0;
    while (replay->labels[*slot] == ODT_REPLAY_EMPTY || index-- > 0) (*slot)++;
    return ODT_OK;
}

int odt_replay_read(odt_replay_t *replay, uint32_t slot, void *data)
{
    if (replay == NULL || data == NULL || replay->state == 0) return ODT_ERR_NULL;
    if (replay->state < 0) return replay->state;
    if (slot >= SLOTS || replay->labels[slot] == ODT_REPLAY_EMPTY) return ODT_ERR_NO_SAMPLES;
    const int status = odt_ring_read(replay, slot, data);
    if (status == ODT_ERR_CORRUPT) replay->labels[slot] = ODT_REPLAY_EMPTY;
    return status;
}

int odt_train_replay(odt_t *odt, odt_replay_t *replay, float *loss)
{
    uint32_t slot = 0;
    int status = odt_replay_draw(replay, odt, &slot);
    if (status != ODT_OK) return status;
#ifdef ODT_REPLAY_OF_FEATURES
    status = odt_replay_read(replay, slot, replay->features);
    return status == ODT_OK ? odt_train_features(odt, replay->features, replay->target, loss)
                            : status;
#else
    status = odt_replay_read(replay, slot, odt_input(odt));
    return status == ODT_OK ? odt_train_step(odt, odt_input(odt), replay->target, loss) : status;
#endif
}

#ifdef ODT_REPLAY_ADDS_CLASSES
int32_t odt_replay_add_classes(const odt_replay_t *replay, odt_t *odt)
{
    const int status = check(replay, odt);
    if (status != ODT_OK) return status;
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        if (replay->labels[slot] == ODT_REPLAY_EMPTY) continue;
        while (odt_classes(odt) <= (int32_t)replay->labels[slot]) (void)odt_add_class(odt);
    }
    return odt_classes(odt);
}
#endif

#endif
