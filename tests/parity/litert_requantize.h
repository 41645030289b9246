/* LiteRT's rounding in the place of odt_requantize.h: twice, half away from zero. */
#include <stdint.h>

static inline int32_t odt_requantize_wide(int32_t acc, int32_t multiplier, int32_t shift) {
  const int64_t product = (int64_t)acc * multiplier;
  /* to the upper 32 bits of twice the product; the division truncates */
  const int64_t nudge = product >= 0 ? 1 << 30 : 1 - (1 << 30);
  const int32_t high = (int32_t)((product + nudge) / ((int64_t)1 << 31));
  const int32_t rest = shift - 31;
  const int32_t remainder = high & ((1 << rest) - 1);
  return (high >> rest) + (remainder > (((1 << rest) - 1) >> 1) + (high < 0));
}

static inline int32_t odt_requantize(int32_t acc, int32_t multiplier, int32_t shift) {
  return odt_requantize_wide(acc, multiplier, shift);
}

static inline int32_t odt_requantize_high(int32_t acc, int32_t multiplier, int32_t shift,
                                          int32_t offset) {
  return odt_requantize_wide(acc, multiplier, 33 + shift) + (offset - 1) / 2;
}

static inline int32_t odt_scaled_sum_narrow(int32_t a, int32_t a_multiplier, int32_t b,
                                            int32_t b_multiplier, int32_t offset) {
  return a * a_multiplier + b * b_multiplier + offset;
}
