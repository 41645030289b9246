/*
 * soak: a long life of a model, on a simulated flash. Prints the first thing that is wrong and ends
 * with 1; else a line of figures as JSON, and leaves the parameters in a file.
 *
 *     soak STEPS SAMPLES PARAMS
 *
 * SAMPLES holds two counts and then so many float samples and labels to learn, and to judge by.
 *
 * Its classes come one after the other, PHASE steps each, so that what is known of the others is
 * owed to the samples that are kept. Where the model adds classes, each is added when it first
 * comes. Mixed in are samples that are not finite, labels that are none, saves, and losses of
 * power: in saves, while samples are kept, and before a class that is new was saved.
 *
 * At its end all is forgotten, and another life begins, half as long.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "nor.h"
#include "odt_replay.h"
#include "odt_store.h"

#define UNIT 8u
#define BLOCK 1024u
#define PHASE 250u
#define UNSAVED 20u /* steps on a class that is new, before power is lost */
#define SAVE_EVERY 100u
#define CHECKS 20u
#define MOST 2000u

typedef struct sample {
    float values[ODT_INPUT_ELEMENTS];
    int32_t label;
} sample_t;

static sample_t learned[MOST], judged[MOST];
static uint32_t counts[2];
static nor_t nor;
static odt_flash_t flash;
static odt_t odt;
static odt_replay_t replay;
static _Alignas(ODT_ARENA_ALIGN) uint8_t arena[ODT_ARENA_BYTES];
static uint32_t random_state = 1;
static struct {
    uint32_t cuts, saves, refused, diverged, classes_again;
} found;

static uint32_t below(uint32_t bound)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (uint32_t)((uint64_t)random_state * bound >> 32);
}

static void expect(int holds, const char *what, long a, long b)
{
    if (holds && nor.violations == 0) return;
    printf("%s (%ld, %ld); %lu violations\n", what, a, b, (unsigned long)nor.violations);
    exit(1);
}

static void read_samples(const char *path)
{
    FILE *file = fopen(path, "rb");
    expect(file != NULL && fread(counts, sizeof counts, 1, file) == 1, "no samples", 0, 0);
    expect(counts[0] <= MOST && counts[1] <= MOST, "too many samples", counts[0], counts[1]);
    expect(fread(learned, sizeof *learned, counts[0], file) == counts[0], "cut", 0, 0);
    expect(fread(judged, sizeof *judged, counts[1], file) == counts[1], "cut", 1, 0);
    fclose(file);
}

static int32_t classes_in_use(void)
{
#ifdef ODT_ADDS_CLASSES
    return odt_classes(&odt);
#else
    return (int32_t)ODT_OUTPUT_ELEMENTS;
#endif
}

/* Adds what kept samples know of and the saved image does not. */
static void add_kept_classes(void)
{
#ifdef ODT_ADDS_CLASSES
    const int32_t saved = odt_classes(&odt), now = odt_replay_add_classes(&replay, &odt);
    expect(now >= saved, "kept classes", saved, now);
    found.classes_again += (uint32_t)(now - saved);
#endif
}

/* RAM holds anything, and flash what it held. */
static void power_on(void)
{
    const uint32_t seed = 7;
    nor_restart(&nor);
    memset(&odt, 0x55, sizeof odt);
    memset(&replay, 0x55, sizeof replay);
    memset(arena, 0x55, sizeof arena);
    expect(odt_init(&odt, arena, sizeof arena) == ODT_OK, "odt_init", 0, 0);
    expect(odt_set_seed(&odt, seed) == ODT_OK, "odt_set_seed", 0, 0);
    const int status = odt_load(&flash, &odt, NULL);
    expect(status == ODT_OK || status == ODT_ERR_EMPTY, "odt_load", status, 0);
    expect(odt_replay_init(&replay, &flash) == ODT_OK, "odt_replay_init", 0, 0);
    add_kept_classes();
}

/* Now and then power will fail in one of the next operations on flash. */
static void threaten(uint32_t rarely)
{
    if (below(rarely) != 0) return;
    nor.operations = 0;
    nor.fail_at = below(12);
    nor.power_fails = 1;
    nor.cut = (enum nor_cut)below(CUT_KINDS);
    nor.amount = below(300);
}

/* The threat is over where no operation came to it. */
static int survived(int status)
{
    if (!nor.powerless) {
        nor.fail_at = NEVER;
        expect(status >= 0, "flash failed without a loss of power", status, 0);
        return 1;
    }
    found.cuts++;
    const uint32_t held = odt_replay_held(&replay);
    power_on();
    expect(odt_replay_held(&replay) + 1 >= held, "samples were lost", (long)held,
           (long)odt_replay_held(&replay));
    return 0;
}

/* What must be refused is, and changes nothing. */
static void refuse(const sample_t *sample)
{
    static sample_t wrong;
    const odt_t before = odt;
    const int32_t label = classes_in_use() + (int32_t)below(3);
    float loss;
    wrong = *sample;
    wrong.values[below(ODT_INPUT_ELEMENTS)] = below(2) ? NAN : INFINITY;
    expect(odt_quantize_input(wrong.values, odt_input(&odt)) == ODT_ERR_NOT_FINITE, "NaN", 0, 0);
    expect(odt_quantize_input(sample->values, odt_input(&odt)) == ODT_OK, "a sample", 0, 0);
    expect(odt_train_step(&odt, odt_input(&odt), &label, &loss) == ODT_ERR_LABEL, "label", 0, 0);
    expect(odt_replay_add(&replay, &odt, odt_input(&odt), &label) == ODT_ERR_LABEL, "label", 1, 0);
    expect(memcmp(&before, &odt, sizeof odt) == 0, "a refusal changed the model", 0, 0);
    found.refused += 3;
}

/* The sample is the first of its class: the class is added, and begins with it where it can. */
static void begin_class(const sample_t *sample)
{
    (void)sample;
#ifdef ODT_ADDS_CLASSES
    while (sample->label >= odt_classes(&odt))
        expect(odt_add_class(&odt) >= 0, "a class", sample->label, 0);
#endif
#ifdef ODT_IMPRINTS
    expect(odt_quantize_input(sample->values, odt_input(&odt)) == ODT_OK, "a sample", 0, 3);
    expect(odt_imprint(&odt, odt_input(&odt), &sample->label) == ODT_OK, "odt_imprint", 0, 0);
#endif
}

static void train(const sample_t *sample)
{
    float loss;
    if (sample->label >= classes_in_use()) begin_class(sample);
    expect(odt_quantize_input(sample->values, odt_input(&odt)) == ODT_OK, "a sample", 0, 1);
    int status = odt_train_step(&odt, odt_input(&odt), &sample->label, &loss);
    expect(status == ODT_OK || status == ODT_ERR_DIVERGED, "a step", status, 0);
    found.diverged += status != ODT_OK;
    status = odt_train_replay(&odt, &replay, &loss);
    expect(status == ODT_OK || status == ODT_ERR_DIVERGED || status == ODT_ERR_NO_SAMPLES,
           "a rehearsal", status, 0);
    found.diverged += status == ODT_ERR_DIVERGED;
    threaten(200);
    expect(odt_quantize_input(sample->values, odt_input(&odt)) == ODT_OK, "a sample", 0, 2);
    (void)survived(odt_replay_add(&replay, &odt, odt_input(&odt), &sample->label));
}

static void save(void)
{
    odt_store_info_t info;
    threaten(4);
    if (survived(odt_save(&flash, &odt, &info))) found.saves++;
}

static double accuracy(void)
{
    uint32_t right = 0;
    for (uint32_t i = 0; i < counts[1]; i++) {
        float output[ODT_OUTPUT_ELEMENTS];
        uint32_t top = 0;
        (void)odt_quantize_input(judged[i].values, odt_input(&odt));
        expect(odt_predict(&odt, odt_input(&odt), output) == ODT_OK, "a prediction", (long)i, 0);
        for (uint32_t c = 1; c < ODT_OUTPUT_ELEMENTS; c++) top = output[c] > output[top] ? c : top;
        right += top == (uint32_t)judged[i].label;
    }
    return (double)right / counts[1];
}

/* A sample of the class whose turn it is. */
static const sample_t *next(uint32_t step)
{
    const int32_t label = (int32_t)(step / PHASE % ODT_OUTPUT_ELEMENTS);
    const sample_t *sample;
    do sample = &learned[below(counts[0])];
    while (sample->label != label);
    return sample;
}

/* Prints the accuracy at the start, and CHECKS times on the way. */
static void live(uint32_t steps)
{
    printf("[%.4f", accuracy());
    for (uint32_t step = 0; step < steps; step++) {
        const sample_t *sample = next(step);
        if (below(50) == 0) refuse(sample);
        train(sample);
        if (step / PHASE < ODT_OUTPUT_ELEMENTS && step % PHASE == UNSAVED) power_on();
        if (step % SAVE_EVERY == SAVE_EVERY - 1) save();
        if ((step + 1) % (steps / CHECKS) == 0) printf(", %.4f", accuracy());
    }
    printf("]");
}

/* All of it, though power is lost on the way. */
static void forget(void)
{
    nor.operations = 0;
    nor.fail_at = 3;
    nor.power_fails = 1;
    expect(odt_forget(&flash, &odt) == ODT_ERR_FLASH, "odt_forget without power", 0, 0);
    power_on();
    expect(odt_forget(&flash, &odt) == ODT_OK, "odt_forget", 0, 0);
    power_on();
    expect(odt_load(&flash, &odt, NULL) == ODT_ERR_EMPTY, "an image is left", 0, 0);
    expect(odt_replay_held(&replay) == 0 && replay.seen == 0, "samples are left", 0, 0);
}

int main(int argc, char **argv)
{
    if (argc != 4) return 2;
    const uint32_t steps = (uint32_t)atol(argv[1]);
    read_samples(argv[2]);
    nor_init(&nor, UNIT, BLOCK, NOR_BYTES / BLOCK);
    flash = nor_flash(&nor);
    power_on();
    printf("{\"accuracies\": ");
    live(steps);
    const uint32_t erases = replay.erases, held = odt_replay_held(&replay);
    power_on();
    expect(replay.erases == erases && odt_replay_held(&replay) == held, "wear or samples", erases,
           held);
    printf(", \"cuts\": %u, \"saves\": %u, \"refused\": %u, \"diverged\": %u, \"erases\": %u, "
           "\"held\": %u, \"classes_again\": %u", found.cuts, found.saves, found.refused,
           found.diverged, erases, held, found.classes_again);
    FILE *file = fopen(argv[3], "wb");
    expect(file != NULL && fwrite(&odt.params, sizeof odt.params, 1, file) == 1, "no file", 0, 0);
    forget();
    printf(", \"second_life\": ");
    live(steps / 2);
    printf("}\n");
    return fclose(file);
}
