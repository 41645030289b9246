/* From int32 accumulators to codes: the one definition of rounding, the same on every target.
 *
 * A real factor is `multiplier / 2^shift` with 31 bits of precision. The product is formed exactly
 * in 64 bits and rounded once, half to even, as ONNX Runtime rounds. A float32 product would do
 * without the 64 bits, but it can round onto a tie that is none, and it needs an FPU.
 */
#ifndef ODT_REQUANTIZE_H
#define ODT_REQUANTIZE_H

#include <stdint.h>

/* Round `value / 2^shift` half to even; shift 1 ... 62, |value| + 2^(shift-1) within int64. */
static inline int64_t odt_shift_round(int64_t value, int32_t shift) {
  const int64_t biased = value + ((int64_t)1 << (shift - 1));
  const int64_t rounded = biased >> shift;
  const int is_tie = (biased & (((int64_t)1 << shift) - 1)) == 0;
  return is_tie ? rounded & ~(int64_t)1 : rounded;
}

/* Clamp to +-2^30: codes far outside int8 stay outside it, and a zero point can still be added. */
static inline int32_t odt_narrow(int64_t value) {
  const int32_t limit = (int32_t)1 << 30;
  return value > limit ? limit : value < -limit ? -limit : (int32_t)value;
}

/* `acc * multiplier / 2^shift` for a factor below 1 (shift 31 or more, multiplier below 2^31): the
 * result cannot leave int32. */
static inline int32_t odt_requantize(int32_t acc, int32_t multiplier, int32_t shift) {
  return (int32_t)odt_shift_round((int64_t)acc * multiplier, shift);
}

/* The same for any factor. */
static inline int32_t odt_requantize_wide(int32_t acc, int32_t multiplier, int32_t shift) {
  return odt_narrow(odt_shift_round((int64_t)acc * multiplier, shift));
}

/* The code `acc * multiplier / 2^(33 + shift) + zero_point` by the upper half of the product alone,
 * for factors that leave no tie to round (see `requantization` in relay_passes/ops/quantized.py):
 * half up is then half to even.
 *
 * shift   0 ... 29
 * offset  2 * zero_point + 1, a half being one here */
static inline int32_t odt_requantize_high(int32_t acc, int32_t multiplier, int32_t shift,
                                          int32_t offset) {
  const int32_t high = (int32_t)(((int64_t)acc * multiplier) >> 32);
  return ((high >> shift) + offset) >> 1;
}

/* Sum of two codes, each less its zero point and scaled by its multiplier, before rounding. */
static inline int64_t odt_scaled_sum(int32_t a, int32_t a_multiplier, int32_t b,
                                     int32_t b_multiplier) {
  return (int64_t)a * a_multiplier + (int64_t)b * b_multiplier;
}

/* The same of codes as they are, for multipliers that keep every sum within int32; `offset` holds
 * what the zero points add (see relay_passes/ops/sum_in_32_bits.py). */
static inline int32_t odt_scaled_sum_narrow(int32_t a, int32_t a_multiplier, int32_t b,
                                            int32_t b_multiplier, int32_t offset) {
  return offset + a * a_multiplier + b * b_multiplier;
}

#endif
