/*
 * odt_window.h for Armv7E-M: SMLAD takes two elements of a row and two taps.
 *
 * A window at an even column reads words that hold its taps 0 1, 2 3, 4 5 ...; at an odd one they
 * hold tap 0 above something else, then 1 2, 3 4 ... So both read the same words if a row of taps
 * is prepared in both pairings: first w0 w1, w2 w3 ..., then w1 w2, w3 w4 ... The last tap of an
 * odd number is only in the second.
 *
 * The functions in assembly make two neighbouring columns at a time, in odd numbers of taps: 3 x 3
 * with all taps in registers, 5 or 7 of up to 7 rows with the taps of a row in registers.
 */
#ifndef ODT_WINDOW_DSP_H
#define ODT_WINDOW_DSP_H

#define ODT_TAP_PAIRS(kw) ((kw) < 4 ? 1 : (kw) / 2) /* of a row, in each of the pairings */
#define ODT_TAPS(kh, kw) (4 * (kh) * ODT_TAP_PAIRS(kw))

ODT_INLINE void odt_zero(int16_t *to, int32_t count)
{
    uint32_t zero = 0;
    int32_t i = 0;
    __asm__("" : "+r"(zero)); /* not a call of memset(), which small libraries do by bytes */
    for (; i < count - 1; i += 2) memcpy(to + i, &zero, sizeof zero);
    if (i < count) to[i] = (int16_t)zero;
}

ODT_INLINE void odt_widen(int16_t *to, const int8_t *x, int32_t zero_point, int32_t count)
{
    const uint32_t offset = odt_both_halves(-zero_point);
    int32_t i = 0;
    for (; i < (count & ~3); i += 4) {
        const uint32_t word = odt_word(x + i);
        const uint32_t even = odt_sxtab16(offset, word);
        const uint32_t odd = odt_sxtab16_odd(offset, word);
        const uint32_t low = odt_lower_halves(even, odd);
        const uint32_t high = odt_upper_halves(even, odd);
        memcpy(to + i, &low, sizeof low);
        memcpy(to + i + 2, &high, sizeof high);
    }
    for (; i < count; ++i) to[i] = (int16_t)(x[i] - zero_point);
}

/* The taps of a filter that is read from w on, `step` 1, or from w backwards, -1. */
ODT_INLINE void odt_taps_from(int16_t *taps, const int8_t *w, int32_t step, int32_t kh, int32_t kw)
{
    const int32_t pairing = 2 * ODT_TAP_PAIRS(kw);
    for (int32_t i = 0; i < kh; ++i, w += step * kw, taps += 2 * pairing) {
        for (int32_t j = 0; j < pairing; ++j) {
            taps[j] = j < kw ? w[step * j] : 0;
            taps[pairing + j] = j + 1 < kw ? w[step * (j + 1)] : 0;
        }
    }
}

ODT_INLINE void odt_taps(int16_t *taps, const int8_t *w, int32_t kh, int32_t kw)
{
    odt_taps_from(taps, w, 1, kh, kw);
}

ODT_INLINE void odt_taps_flipped(int16_t *taps, const int8_t *w, int32_t kh, int32_t kw)
{
    odt_taps_from(taps, w + kh * kw - 1, -1, kh, kw);
}

/// 3 x 3 ///

/* r0 acc, r1-r3 rows of the plane, r4-r9 taps, r10 and r11 words of the plane, r12 and lr sums. */
#define ODT_WINDOW3_ROW_1(row, w01, w12)                                       \
    "ldrd r10, r11, [" row "], #4\n"                                           \
    "smlad r12, r10, " w01 ", r12\n smlatb lr, r10, " w01 ", lr\n"             \
    "smlabt r12, r11, " w12 ", r12\n smlad lr, r11, " w12 ", lr\n"
#define ODT_WINDOW3_ROW_2(row, w01, w12)                                       \
    "ldrd r10, r11, [" row "], #8\n"                                           \
    "smlad r12, r10, " w01 ", r12\n smlabt r12, r11, " w12 ", r12\n"           \
    "ldr.w r10, [" row "]\n"                                                   \
    "smlad lr, r11, " w01 ", lr\n smlabt lr, r10, " w12 ", lr\n"
#define ODT_WINDOW3_PAIR(row)                                                  \
    "ldrd r12, lr, [r0]\n" row("r1", "r4", "r5") row("r2", "r6", "r7")         \
        row("r3", "r8", "r9") "strd r12, lr, [r0], #8\n"

/*
 * do {
 *     for (`pairs` >= 1 pairs of columns) two sums of 3 x 3 taps
 *     acc += acc_step bytes, plane += plane_step bytes
 * } while (acc != acc_end)
 *
 * Eight pairs make a round; the first round of a row is entered where it has as many left as
 * needed.
 */
#define ODT_WINDOW3_FUNCTION(name, row, pair_bytes)                                               \
    ODT_ASSEMBLY void name(                                                                       \
        int32_t *acc __attribute__((unused)), const int16_t *plane __attribute__((unused)),       \
        const int16_t *taps __attribute__((unused)), int32_t pitch_bytes __attribute__((unused)), \
        int32_t pairs __attribute__((unused)), int32_t plane_step __attribute__((unused)),        \
        int32_t acc_step __attribute__((unused)), const int32_t *acc_end __attribute__((unused))) \
    {                                                                                             \
        __asm__("push {r4-r11, lr}\n"                                                             \
                "add r4, sp, #36\n"                                                               \
                "ldm r4, {r4-r7}\n"                                                               \
                "subs r4, r4, #1\n"                                                               \
                "mvn r8, r4\n"                                                                    \
                "and r8, r8, #7\n"                                                                \
                "mov r9, #" #pair_bytes "\n"                                                      \
                "adr r10, 1f\n"                                                                   \
                "mla r8, r8, r9, r10\n"                                                           \
                "orr r8, r8, #1\n"                                                                \
                "asrs r9, r4, #3\n"                                                               \
                "mov r10, r9\n"                                                                   \
                "push {r5-r10}\n" /* the steps, acc_end, entry, rounds, rounds left */            \
                "mov r12, r2\n"                                                                   \
                "add r2, r1, r3\n"                                                                \
                "add r3, r2, r3\n"                                                                \
                "mov lr, r8\n"                                                                    \
                "ldm r12, {r4-r9}\n"                                                              \
                "bx lr\n"                                                                         \
                ".balign 4\n"                                                                     \
                "1:\n" ODT_WINDOW3_PAIR(row) ODT_WINDOW3_PAIR(row) ODT_WINDOW3_PAIR(row)          \
                    ODT_WINDOW3_PAIR(row) ODT_WINDOW3_PAIR(row) ODT_WINDOW3_PAIR(row)             \
                        ODT_WINDOW3_PAIR(row) ODT_WINDOW3_PAIR(row)                               \
                "ldr r10, [sp, #20]\n"                                                            \
                "subs r10, r10, #1\n"                                                             \
                "str r10, [sp, #20]\n"                                                            \
                "bpl.w 1b\n"                                                                      \
                "ldm.w sp, {r10-r12, lr}\n"                                                       \
                "add r1, r1, r10\n"                                                               \
                "add r2, r2, r10\n"                                                               \
                "add r3, r3, r10\n"                                                               \
                "add r0, r0, r11\n"                                                               \
                "ldr r10, [sp, #16]\n"                                                            \
                "str r10, [sp, #20]\n"                                                            \
                "cmp r0, r12\n"                                                                   \
                "it ne\n"                                                                         \
                "bxne lr\n"                                                                       \
                "add sp, sp, #24\n"                                                               \
                "pop {r4-r11, pc}\n");                                                            \
    }

ODT_WINDOW3_FUNCTION(odt_window3_1, ODT_WINDOW3_ROW_1, 68)
ODT_WINDOW3_FUNCTION(odt_window3_2, ODT_WINDOW3_ROW_2, 80)

/// Five and seven taps a row ///

/* r0 acc, r1 plane, r2 taps, r3 pitch, r4-r7 taps of a row, up to r10 words of the plane, r11 and
 * r12 sums, lr where to enter the rows of taps. */
#define ODT_WINDOW5_ROW_1                                                      \
    "ldm.w r2!, {r4-r7}\n ldm.w r1, {r8-r10}\n add.w r1, r1, r3\n"             \
    "smlad r11, r8, r4, r11\n smlad r11, r9, r5, r11\n smlabt r11, r10, r7, r11\n" \
    "smlatb r12, r8, r4, r12\n smlad r12, r9, r6, r12\n smlad r12, r10, r7, r12\n"
#define ODT_WINDOW5_ROW_2                                                      \
    "ldm.w r2!, {r4-r7}\n ldm.w r1, {r8-r10}\n ldr.w r6, [r1, #12]\n add.w r1, r1, r3\n" \
    "smlad r11, r8, r4, r11\n smlad r11, r9, r5, r11\n smlabt r11, r10, r7, r11\n" \
    "smlad r12, r9, r4, r12\n smlad r12, r10, r5, r12\n smlabt r12, r6, r7, r12\n"
#define ODT_WINDOW7_ROW_1                                                      \
    "ldm.w r2!, {r4-r6}\n ldm.w r1, {r7-r10}\n add.w r1, r1, r3\n"             \
    "smlad r11, r7, r4, r11\n smlad r11, r8, r5, r11\n smlad r11, r9, r6, r11\n" \
    "smlatb r12, r7, r4, r12\n ldm.w r2!, {r4-r6}\n smlad r12, r8, r4, r12\n"  \
    "smlad r12, r9, r5, r12\n smlad r12, r10, r6, r12\n smlabt r11, r10, r6, r11\n"
#define ODT_WINDOW7_ROW_2                                                      \
    "ldm.w r2!, {r4-r6}\n ldm.w r1, {r7-r10}\n"                                \
    "smlad r11, r7, r4, r11\n smlad r11, r8, r5, r11\n smlad r11, r9, r6, r11\n" \
    "ldr.w r7, [r1, #16]\n add.w r1, r1, r3\n"                                 \
    "smlad r12, r8, r4, r12\n smlad r12, r9, r5, r12\n smlad r12, r10, r6, r12\n" \
    "ldm.w r2!, {r4-r6}\n smlabt r11, r10, r6, r11\n smlabt r12, r7, r6, r12\n"

/* The same for kh <= 7 rows of taps; 8 * `pairs` is given. */
#define ODT_WINDOW_FUNCTION(name, row, row_bytes, stride)                                         \
    ODT_ASSEMBLY void name(                                                                       \
        int32_t *acc __attribute__((unused)), const int16_t *plane __attribute__((unused)),       \
        const int16_t *taps __attribute__((unused)), int32_t pitch_bytes __attribute__((unused)), \
        int32_t pairs_bytes __attribute__((unused)), int32_t plane_step __attribute__((unused)),  \
        int32_t acc_step __attribute__((unused)), const int32_t *acc_end __attribute__((unused)), \
        int32_t kh __attribute__((unused)))                                                       \
    {                                                                                             \
        __asm__("push {r4-r11, lr}\n"                                                             \
                "add r4, sp, #36\n"                                                               \
                "ldm r4, {r4-r8}\n"                                                               \
                "rsb r9, r8, #7\n"                                                                \
                "mov r10, #" #row_bytes "\n"                                                      \
                "adr lr, 1f\n"                                                                    \
                "mla lr, r9, r10, lr\n"                                                           \
                "orr lr, lr, #1\n"                                                                \
                "mul r9, r8, r3\n"                                                                \
                "push {r4-r7}\n"                                                                  \
                "add r5, r0, r4\n"             /* where the row of acc ends */                    \
                "sub r4, r9, #4 * " #stride "\n" /* from below the window to the next two */      \
                "push {r2, r4, r5}\n"                                                             \
                "0: ldrd r11, r12, [r0]\n"                                                        \
                "bx lr\n"                                                                         \
                ".balign 4\n"                                                                     \
                "1:\n" row row row row row row row                                                \
                "strd r11, r12, [r0], #8\n"                                                       \
                "ldm.w sp, {r2, r4, r5}\n"                                                        \
                "sub r1, r1, r4\n"                                                                \
                "cmp r0, r5\n"                                                                    \
                "bne.w 0b\n"                                                                      \
                "add r4, sp, #12\n"                                                               \
                "ldm r4, {r4-r7}\n"                                                               \
                "add r0, r0, r6\n"                                                                \
                "add r1, r1, r5\n"                                                                \
                "add r4, r4, r0\n"                                                                \
                "str r4, [sp, #8]\n"                                                              \
                "cmp r0, r7\n"                                                                    \
                "bne.w 0b\n"                                                                      \
                "add sp, sp, #28\n"                                                               \
                "pop {r4-r11, pc}\n");                                                            \
    }

ODT_WINDOW_FUNCTION(odt_window5_1, ODT_WINDOW5_ROW_1, 36, 1)
ODT_WINDOW_FUNCTION(odt_window5_2, ODT_WINDOW5_ROW_2, 40, 2)
ODT_WINDOW_FUNCTION(odt_window7_1, ODT_WINDOW7_ROW_1, 48, 1)
ODT_WINDOW_FUNCTION(odt_window7_2, ODT_WINDOW7_ROW_2, 52, 2)

/// Any ///

/* sum + the window at an even column, thus of whole words. */
ODT_INLINE int32_t odt_window_even(int32_t sum, const int16_t *window, int32_t pitch,
                                   const int16_t *taps, int32_t kh, int32_t kw)
{
    const int32_t pairs = ODT_TAP_PAIRS(kw);
    for (int32_t i = 0; i < kh; ++i, window += pitch, taps += 4 * pairs) {
        const odt_pair_t *x = (const odt_pair_t *)(const void *)window;
        const odt_pair_t *w = (const odt_pair_t *)(const void *)taps;
        for (int32_t t = 0; t < pairs; ++t) sum = odt_smlad(x[t], w[t], sum);
        if (kw > 2 * pairs) sum = odt_smlabt(x[pairs], w[2 * pairs - 1], sum);
    }
    return sum;
}

/* sum + the window at an odd column. */
ODT_INLINE int32_t odt_window_odd(int32_t sum, const int16_t *window, int32_t pitch,
                                  const int16_t *taps, int32_t kh, int32_t kw)
{
    const int32_t pairing = 2 * ODT_TAP_PAIRS(kw);
    for (int32_t i = 0; i < kh; ++i, window += pitch, taps += 2 * pairing) {
        sum += window[0] * taps[0];
        for (int32_t j = 1; j < kw; ++j) sum += window[j] * taps[pairing + j - 1];
    }
    return sum;
}

ODT_INLINE void odt_window(int32_t *acc, const int16_t *plane, int32_t pitch, const int16_t *taps,
                           int32_t kh, int32_t kw, int32_t stride, int32_t rows, int32_t count)
{
    const int is_fast = (stride == 1 || stride == 2) &&
                        ((kh == 3 && kw == 3) || (kh <= 7 && (kw == 5 || kw == 7)));
    const int32_t pairs = is_fast && rows > 0 ? count / 2 : 0;
    const int32_t bytes = pitch * (int32_t)sizeof *plane;
    const int32_t plane_step = stride * (bytes - 4 * pairs); /* from the end of a row on */
    const int32_t acc_step = (count - 2 * pairs) * (int32_t)sizeof *acc;
    const int32_t *end = acc + rows * count;
    if (pairs > 0 && kw == 3) {
        (stride == 1 ? odt_window3_1 : odt_window3_2)(acc, plane, taps, bytes, pairs, plane_step,
                                                      acc_step, end);
    } else if (pairs > 0 && kw == 5) {
        (stride == 1 ? odt_window5_1 : odt_window5_2)(acc, plane, taps, bytes, 8 * pairs,
                                                      plane_step, acc_step, end, kh);
    } else if (pairs > 0) {
        (stride == 1 ? odt_window7_1 : odt_window7_2)(acc, plane, taps, bytes, 8 * pairs,
                                                      plane_step, acc_step, end, kh);
    }
    for (int32_t r = 0; r < rows; ++r, acc += count, plane += stride * pitch) {
        for (int32_t q = 2 * pairs; q < count; ++q) {
            const int32_t at = q * stride;
            acc[q] = at & 1 ? odt_window_odd(acc[q], plane + at, pitch, taps, kh, kw)
                            : odt_window_even(acc[q], plane + at, pitch, taps, kh, kw);
        }
    }
}

#endif
