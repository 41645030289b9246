/* Drives a generated model without the runtime: `harness steps BYTE`, `harness errors` and, built
 * with count_yields.h, `harness yields`.
 *
 * "steps" fills the arena with BYTE, reads samples and targets from standard input until it ends,
 * evaluates and trains on each with seed 5, and writes every loss, the output for the last sample and the
 * parameters. The arena has exactly ODT_ARENA_BYTES, between guards where GUARD_BYTES is not 0.
 * "errors" calls every function wrongly. "yields" prints how often a prediction, an evaluation and
 * a step yield. A failed check names its line and exits with 1.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef ODT_PORT_HEADER
#include ODT_PORT_HEADER
#endif
#include "model.h"

#ifndef GUARD_BYTES
#define GUARD_BYTES 64
#endif
#define GUARD 0xC3
#define CHECK(condition) check((condition), #condition, __LINE__)

static odt_t odt;
static uint8_t *block, *arena;
static odt_input_t sample[ODT_INPUT_ELEMENTS];
static odt_target_t target[ODT_TARGET_ELEMENTS];
static float output[ODT_OUTPUT_ELEMENTS], loss;
static float evaluated_output[ODT_OUTPUT_ELEMENTS], evaluated_loss;

static void check(int holds, const char *text, int line) {
  if (!holds) {
    fprintf(stderr, "line %d: %s\n", line, text);
    exit(1);
  }
}

static int read_all(void *data, size_t bytes) { return fread(data, 1, bytes, stdin) == bytes; }

static void check_guards(void) {
  const uint8_t *const end = block + ODT_ARENA_BYTES + 2 * GUARD_BYTES;
  for (const uint8_t *byte = block; byte != end; ++byte) {
    CHECK(*byte == GUARD || (byte >= arena && byte < arena + ODT_ARENA_BYTES));
  }
}

static void steps(int fill) {
  memset(arena, fill, ODT_ARENA_BYTES);
  CHECK(odt_init(&odt, arena, ODT_ARENA_BYTES) == ODT_OK);
  CHECK(odt_set_seed(&odt, 5) == ODT_OK);
  while (read_all(sample, sizeof sample) && read_all(target, sizeof target)) {
    CHECK(odt_evaluate(&odt, sample, target, evaluated_output, &evaluated_loss) == ODT_OK);
    CHECK(odt_predict(&odt, sample, output) == ODT_OK);
    CHECK(memcmp(evaluated_output, output, sizeof output) == 0);
    CHECK(odt_train_step(&odt, sample, target, &loss) == ODT_OK);
    CHECK(memcmp(&evaluated_loss, &loss, sizeof loss) == 0);
    fwrite(&loss, sizeof loss, 1, stdout);
  }
  /* Through the arena, where the others went through a buffer of their own. */
  memcpy(odt_input(&odt), sample, sizeof sample);
  CHECK(odt_predict(&odt, odt_input(&odt), output) == ODT_OK);
  fwrite(output, sizeof output, 1, stdout);
  fwrite(&odt.params, sizeof odt.params, 1, stdout);
  check_guards();
}

static odt_t kept;
static uint8_t kept_arena[ODT_ARENA_BYTES];

static void keep(void) {
  memcpy(&kept, &odt, sizeof odt);
  memcpy(kept_arena, arena, ODT_ARENA_BYTES);
}

/* One wrong call: its error code, and that neither state nor arena nor results changed. */
static void refused(int result, int expected, int line) {
  const int unchanged = memcmp(&kept, &odt, sizeof odt) == 0 &&
                        memcmp(kept_arena, arena, ODT_ARENA_BYTES) == 0 && loss == 7.0f &&
                        output[0] == 7.0f;
  check(result == expected, "the error code", line);
  check(unchanged, "a refused call changes nothing", line);
}
#define REFUSED(call, expected) refused((call), (expected), __LINE__)

static void wrong_init(void) {
  REFUSED(odt_init(NULL, arena, ODT_ARENA_BYTES), ODT_ERR_NULL);
  REFUSED(odt_init(&odt, NULL, ODT_ARENA_BYTES), ODT_ERR_NULL);
  REFUSED(odt_init(&odt, arena, ODT_ARENA_BYTES - 1), ODT_ERR_ARENA);
  REFUSED(odt_init(&odt, arena, 0), ODT_ERR_ARENA);
  REFUSED(odt_init(&odt, arena + 4, ODT_ARENA_BYTES), ODT_ERR_ARENA);
  REFUSED(odt_init(&odt, arena + 1, ODT_ARENA_BYTES), ODT_ERR_ARENA);
}

static void wrong_settings(void) {
  REFUSED(odt_set_learning_rate(NULL, 0.1f), ODT_ERR_NULL);
  REFUSED(odt_set_learning_rate(&odt, -0.1f), ODT_ERR_LEARNING_RATE);
  REFUSED(odt_set_learning_rate(&odt, NAN), ODT_ERR_LEARNING_RATE);
  REFUSED(odt_set_learning_rate(&odt, INFINITY), ODT_ERR_LEARNING_RATE);
  REFUSED(odt_set_seed(NULL, 1), ODT_ERR_NULL);
  CHECK(odt_input(NULL) == NULL);
}

/* An odt_t that odt_init() never accepted. */
static void without_init(void) {
  static odt_t fresh;
  static const odt_t zeros;
  CHECK(odt_init(&fresh, arena, ODT_ARENA_BYTES - 1) == ODT_ERR_ARENA);
  REFUSED(odt_set_learning_rate(&fresh, 0.1f), ODT_ERR_NULL);
  REFUSED(odt_set_seed(&fresh, 1), ODT_ERR_NULL);
  REFUSED(odt_predict(&fresh, sample, output), ODT_ERR_NULL);
  REFUSED(odt_evaluate(&fresh, sample, target, output, &loss), ODT_ERR_NULL);
  REFUSED(odt_train_step(&fresh, sample, target, &loss), ODT_ERR_NULL);
  CHECK(odt_input(&fresh) == NULL);
  CHECK(memcmp(&fresh, &zeros, sizeof fresh) == 0);
}

static void wrong_pointers(void) {
  REFUSED(odt_predict(NULL, sample, output), ODT_ERR_NULL);
  REFUSED(odt_predict(&odt, NULL, output), ODT_ERR_NULL);
  REFUSED(odt_predict(&odt, sample, NULL), ODT_ERR_NULL);
  REFUSED(odt_evaluate(NULL, sample, target, output, &loss), ODT_ERR_NULL);
  REFUSED(odt_evaluate(&odt, NULL, target, output, &loss), ODT_ERR_NULL);
  REFUSED(odt_evaluate(&odt, sample, NULL, output, &loss), ODT_ERR_NULL);
  REFUSED(odt_evaluate(&odt, sample, target, NULL, &loss), ODT_ERR_NULL);
  REFUSED(odt_evaluate(&odt, sample, target, output, NULL), ODT_ERR_NULL);
  REFUSED(odt_train_step(NULL, sample, target, &loss), ODT_ERR_NULL);
  REFUSED(odt_train_step(&odt, NULL, target, &loss), ODT_ERR_NULL);
  REFUSED(odt_train_step(&odt, sample, NULL, &loss), ODT_ERR_NULL);
  REFUSED(odt_train_step(&odt, sample, target, NULL), ODT_ERR_NULL);
}

static void wrong_targets(void) {
#if ODT_TARGET_IS_LABEL
  const odt_target_t wrong[] = {-1, INT32_MIN, (odt_target_t)ODT_OUTPUT_ELEMENTS, INT32_MAX};
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; ++i) {
    REFUSED(odt_train_step(&odt, sample, &wrong[i], &loss), ODT_ERR_LABEL);
    REFUSED(odt_evaluate(&odt, sample, &wrong[i], output, &loss), ODT_ERR_LABEL);
  }
#else
  const float wrong[] = {NAN, INFINITY, -INFINITY};
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; ++i) {
    target[ODT_TARGET_ELEMENTS - 1] = wrong[i];
    REFUSED(odt_train_step(&odt, sample, target, &loss), ODT_ERR_NOT_FINITE);
    REFUSED(odt_evaluate(&odt, sample, target, output, &loss), ODT_ERR_NOT_FINITE);
  }
  target[ODT_TARGET_ELEMENTS - 1] = 0;
#endif
}

static void wrong_samples(void) {
#ifdef FLOAT_INPUT
  const float wrong[] = {NAN, INFINITY, -INFINITY};
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; ++i) {
    sample[ODT_INPUT_ELEMENTS - 1] = wrong[i];
    REFUSED(odt_train_step(&odt, sample, target, &loss), ODT_ERR_NOT_FINITE);
    REFUSED(odt_evaluate(&odt, sample, target, output, &loss), ODT_ERR_NOT_FINITE);
    REFUSED(odt_predict(&odt, sample, output), ODT_ERR_NOT_FINITE);
  }
#endif
}

static void errors(void) {
  memset(arena, 0x5A, ODT_ARENA_BYTES);
  CHECK(odt_init(&odt, arena, ODT_ARENA_BYTES) == ODT_OK);
  loss = output[0] = 7.0f;
  keep();
  wrong_init();
  without_init();
  wrong_settings();
  wrong_pointers();
  wrong_targets();
  wrong_samples();
  CHECK(odt_set_learning_rate(&odt, 0.0f) == ODT_OK);
  check_guards();
}

#ifdef ODT_PORT_HEADER
unsigned yields_seen;

static unsigned yields_of(int status) {
  const unsigned seen = yields_seen;
  CHECK(status == ODT_OK);
  yields_seen = 0;
  return seen;
}

static void count_yields(void) {
  CHECK(odt_init(&odt, arena, ODT_ARENA_BYTES) == ODT_OK);
  printf("%u ", yields_of(odt_predict(&odt, sample, output)));
  printf("%u ", yields_of(odt_evaluate(&odt, sample, target, output, &loss)));
  printf("%u", yields_of(odt_train_step(&odt, sample, target, &loss)));
}
#endif

int main(int count, char **arguments) {
  block = aligned_alloc(ODT_ARENA_ALIGN, ODT_ARENA_BYTES + 2 * GUARD_BYTES);
  CHECK(block != NULL && count >= 2);
  memset(block, GUARD, ODT_ARENA_BYTES + 2 * GUARD_BYTES);
  arena = block + GUARD_BYTES;
  if (strcmp(arguments[1], "errors") == 0) {
    errors();
#ifdef ODT_PORT_HEADER
  } else if (strcmp(arguments[1], "yields") == 0) {
    count_yields();
#endif
  } else {
    CHECK(count == 3);
    steps(atoi(arguments[2]));
  }
  free(block);
  return 0;
}
