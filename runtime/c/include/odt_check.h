/* Checks of what a caller hands in. */
#ifndef ODT_CHECK_H
#define ODT_CHECK_H

#include <stddef.h>

/* 1 if none of the `count` values is an infinity or a NaN, else 0. */
static inline int odt_is_finite(const float *values, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    if (!(values[i] - values[i] == 0.0f)) {
      return 0;
    }
  }
  return 1;
}

#endif
