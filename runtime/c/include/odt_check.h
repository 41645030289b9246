/* Checks of what a caller hands in. */
#ifndef ODT_CHECK_H
#define ODT_CHECK_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* 1 if none of the `count` values is an infinity or a NaN, else 0. */
static inline int odt_is_finite(const float *values, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    uint32_t bits; /* no arithmetic: it would be a call where there is no FPU */
    memcpy(&bits, values + i, sizeof bits);
    if ((bits & 0x7f800000u) == 0x7f800000u) {
      return 0;
    }
  }
  return 1;
}

/* 1 if each label is in 0 ... classes - 1, or is `ignored`, else 0. */
static inline int odt_are_labels(const int32_t *labels, size_t count, int32_t classes,
                                 int32_t ignored) {
  for (size_t i = 0; i < count; ++i) {
    if ((labels[i] < 0 || labels[i] >= classes) && labels[i] != ignored) {
      return 0;
    }
  }
  return 1;
}

/* 1 if each value is from 0 to 1, else 0. */
static inline int odt_are_probabilities(const float *values, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    uint32_t bits;
    memcpy(&bits, values + i, sizeof bits);
    if (bits > 0x3f800000u && bits != 0x80000000u) { /* 1 and -0 */
      return 0;
    }
  }
  return 1;
}

#endif
