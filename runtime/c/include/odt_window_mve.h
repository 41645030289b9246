/*
 * odt_window.h for Helium: four columns a vector, with 32-bit lanes; taps lie as the filter does.
 *
 * The loops over columns are in assembly because compilers do not make loops that predicate their
 * own tail yet: LETP leaves out the columns beyond the end.
 */
#ifndef ODT_WINDOW_MVE_H
#define ODT_WINDOW_MVE_H

#include <arm_mve.h>

#define ODT_TAPS(kh, kw) ((kh) * (kw))

ODT_INLINE void odt_zero(int16_t *to, int32_t count)
{
    for (int32_t i = 0; i < count; i += 8) {
        vstrhq_p_s16(to + i, vdupq_n_s16(0), vctp16q((uint32_t)(count - i)));
    }
}

ODT_INLINE void odt_widen(int16_t *to, const int8_t *x, int32_t zero_point, int32_t count)
{
    for (int32_t i = 0; i < count; i += 8) {
        const mve_pred16_t left = vctp16q((uint32_t)(count - i));
        vstrhq_p_s16(to + i, vsubq_n_s16(vldrbq_z_s16(x + i, left), (int16_t)zero_point), left);
    }
}

ODT_INLINE void odt_taps(int16_t *taps, const int8_t *w, int32_t kh, int32_t kw)
{
    odt_widen(taps, w, 0, kh * kw);
}

ODT_INLINE void odt_taps_flipped(int16_t *taps, const int8_t *w, int32_t kh, int32_t kw)
{
    for (int32_t i = 0; i < kh * kw; ++i) taps[i] = w[kh * kw - 1 - i];
}

/* A vector of columns times the tap in `w`: of neighbours, and of every other column. */
#define ODT_TAP(address, w) "vldrh.s32 q1, " address "\n vmla.s32 q0, q1, " w "\n"
#define ODT_TAP2(w, bytes_on) ODT_TAP("[r1, q2, uxtw #1]", w) "add r1, r1, #" bytes_on "\n"

/* A row of taps in registers: r0 acc, r1 plane, r2 plane_step, r3 count, r4-r10 taps, r11
 * acc_step, r12 acc_end, lr columns left, q2 where columns of stride 2 lie.
 *
 * do {
 *     for (`count` >= 1 columns) a sum, by vectors
 *     acc += acc_step bytes, plane += plane_step bytes, both from the end of the last vector
 * } while (acc != acc_end) */
#define ODT_WINDOW_ROWS(name, load_taps, products)                                             \
    ODT_ASSEMBLY void name(                                                                    \
        int32_t *acc __attribute__((unused)), const int16_t *plane __attribute__((unused)),    \
        const int16_t *taps __attribute__((unused)), int32_t count __attribute__((unused)),    \
        int32_t plane_step __attribute__((unused)), int32_t acc_step __attribute__((unused)),  \
        const int32_t *acc_end __attribute__((unused)))                                        \
    {                                                                                          \
        __asm__("push {r4-r11, lr}\n"                                                          \
                "mov r4, #0\n"                                                                 \
                "vidup.u32 q2, r4, #2\n"                                                       \
                "ldrsh r4, [r2]\n" load_taps                                                   \
                "ldr r2, [sp, #36]\n"                                                          \
                "ldr r11, [sp, #40]\n"                                                         \
                "ldr r12, [sp, #44]\n"                                                         \
                "0: dlstp.32 lr, r3\n"                                                         \
                "1: vldrw.32 q0, [r0]\n" products                                              \
                "vstrw.32 q0, [r0], #16\n"                                                     \
                "letp lr, 1b\n"                                                                \
                "add r1, r1, r2\n"                                                             \
                "add r0, r0, r11\n"                                                            \
                "cmp r0, r12\n"                                                                \
                "bne 0b\n"                                                                     \
                "pop {r4-r11, pc}\n");                                                         \
    }

#define ODT_LOAD3 "ldrsh r5, [r2, #2]\n ldrsh r6, [r2, #4]\n"
#define ODT_LOAD5 ODT_LOAD3 "ldrsh r7, [r2, #6]\n ldrsh r8, [r2, #8]\n"
#define ODT_LOAD7 ODT_LOAD5 "ldrsh r9, [r2, #10]\n ldrsh r10, [r2, #12]\n"
#define ODT_PRODUCTS1 ODT_TAP("[r1], #8", "r4")
#define ODT_PRODUCTS3 ODT_TAP("[r1, #2]", "r5") ODT_TAP("[r1, #4]", "r6") ODT_PRODUCTS1
#define ODT_PRODUCTS5 ODT_TAP("[r1, #6]", "r7") ODT_TAP("[r1, #8]", "r8") ODT_PRODUCTS3
#define ODT_PRODUCTS7 ODT_TAP("[r1, #10]", "r9") ODT_TAP("[r1, #12]", "r10") ODT_PRODUCTS5

/* They leave r1 four columns on. */
ODT_WINDOW_ROWS(odt_window_row1_1, "", ODT_PRODUCTS1)
ODT_WINDOW_ROWS(odt_window_row3_1, ODT_LOAD3, ODT_PRODUCTS3)
ODT_WINDOW_ROWS(odt_window_row5_1, ODT_LOAD5, ODT_PRODUCTS5)
ODT_WINDOW_ROWS(odt_window_row7_1, ODT_LOAD7, ODT_PRODUCTS7)
ODT_WINDOW_ROWS(odt_window_row1_2, "", ODT_TAP2("r4", "16"))
ODT_WINDOW_ROWS(odt_window_row3_2, ODT_LOAD3,
                ODT_TAP2("r4", "2") ODT_TAP2("r5", "2") ODT_TAP2("r6", "12"))
ODT_WINDOW_ROWS(odt_window_row5_2, ODT_LOAD5,
                ODT_TAP2("r4", "2") ODT_TAP2("r5", "2") ODT_TAP2("r6", "2") ODT_TAP2("r7", "2")
                    ODT_TAP2("r8", "8"))
ODT_WINDOW_ROWS(odt_window_row7_2, ODT_LOAD7,
                ODT_TAP2("r4", "2") ODT_TAP2("r5", "2") ODT_TAP2("r6", "2") ODT_TAP2("r7", "2")
                    ODT_TAP2("r8", "2") ODT_TAP2("r9", "2") ODT_TAP2("r10", "4"))

typedef void (*odt_window_row_fn)(int32_t *, const int16_t *, const int16_t *, int32_t, int32_t,
                                  int32_t, const int32_t *);

ODT_INLINE odt_window_row_fn odt_window_row_of(int32_t number, int32_t stride)
{
    if (number == 1) return stride == 1 ? odt_window_row1_1 : odt_window_row1_2;
    if (number == 3) return stride == 1 ? odt_window_row3_1 : odt_window_row3_2;
    if (number == 5) return stride == 1 ? odt_window_row5_1 : odt_window_row5_2;
    return stride == 1 ? odt_window_row7_1 : odt_window_row7_2;
}

/* The same of 3 x 3 taps and stride 1: r0 acc, r1-r3 rows of the plane, r4-r12 taps, lr columns
 * left. */
#define ODT_TAP3(row, w0, w1, w2) \
    ODT_TAP("[" row ", #2]", w1) ODT_TAP("[" row ", #4]", w2) ODT_TAP("[" row "], #8", w0)
ODT_ASSEMBLY void odt_window3(
    int32_t *acc __attribute__((unused)), const int16_t *plane __attribute__((unused)),
    const int16_t *taps __attribute__((unused)), int32_t pitch_bytes __attribute__((unused)),
    int32_t count __attribute__((unused)), int32_t plane_step __attribute__((unused)),
    int32_t acc_step __attribute__((unused)), const int32_t *acc_end __attribute__((unused)))
{
    __asm__("push {r4-r11, lr}\n"
            "mov lr, r2\n"
            "add r2, r1, r3\n"
            "add r3, r2, r3\n"
            "ldrsh r4, [lr]\n ldrsh r5, [lr, #2]\n ldrsh r6, [lr, #4]\n"
            "ldrsh r7, [lr, #6]\n ldrsh r8, [lr, #8]\n ldrsh r9, [lr, #10]\n"
            "ldrsh r10, [lr, #12]\n ldrsh r11, [lr, #14]\n ldrsh r12, [lr, #16]\n"
            "0: ldr lr, [sp, #36]\n"
            "dlstp.32 lr, lr\n"
            "1: vldrw.32 q0, [r0]\n" ODT_TAP3("r1", "r4", "r5", "r6")
            ODT_TAP3("r2", "r7", "r8", "r9") ODT_TAP3("r3", "r10", "r11", "r12")
            "vstrw.32 q0, [r0], #16\n"
            "letp lr, 1b\n"
            "ldr lr, [sp, #40]\n"
            "add r1, r1, lr\n"
            "add r2, r2, lr\n"
            "add r3, r3, lr\n"
            "ldr lr, [sp, #44]\n"
            "add r0, r0, lr\n"
            "ldr lr, [sp, #48]\n"
            "cmp r0, lr\n"
            "bne 0b\n"
            "pop {r4-r11, pc}\n");
}

/* Any stride, by gathering. */
ODT_INLINE void odt_window_gathered(int32_t *acc, const int16_t *plane, int32_t pitch,
                                    const int16_t *taps, int32_t kh, int32_t kw, int32_t stride,
                                    int32_t rows, int32_t count)
{
    const uint32x4_t offsets = vmulq_n_u32(vidupq_n_u32(0, 1), (uint32_t)stride);
    for (int32_t r = 0; r < rows; ++r, acc += count, plane += stride * pitch) {
        for (int32_t q = 0; q < count; q += 4) {
            const mve_pred16_t left = vctp32q((uint32_t)(count - q));
            int32x4_t sum = vldrwq_z_s32(acc + q, left);
            const int16_t *tap = taps, *row = plane + q * stride;
            for (int32_t i = 0; i < kh; ++i, row += pitch) {
                for (int32_t j = 0; j < kw; ++j) {
                    const int32x4_t x =
                        vldrhq_gather_shifted_offset_z_s32(row + j, offsets, left);
                    sum = vmlaq_n_s32(sum, x, *tap++);
                }
            }
            vstrwq_p_s32(acc + q, sum, left);
        }
    }
}

ODT_INLINE void odt_window(int32_t *acc, const int16_t *plane, int32_t pitch, const int16_t *taps,
                           int32_t kh, int32_t kw, int32_t stride, int32_t rows, int32_t count)
{
    const int32_t vectors = (count + 3) / 4;
    const int32_t acc_step = 4 * count - 16 * vectors;       /* from the end of a row on */
    const int32_t plane_step = stride * (2 * pitch - 8 * vectors);
    const int32_t *end = acc + rows * count;
    if (rows < 1 || count < 1) return;
    if (stride > 2) {
        odt_window_gathered(acc, plane, pitch, taps, kh, kw, stride, rows, count);
    } else if (stride == 1 && kh == 3 && kw == 3) {
        odt_window3(acc, plane, taps, 2 * pitch, count, plane_step, acc_step, end);
    } else {
        for (int32_t i = 0; i < kh; ++i) {
            for (int32_t j = 0; j < kw;) { /* 1, 3, 5 or 7 taps at a time */
                const int32_t left = (kw - j - 1) | 1, number = left < 7 ? left : 7;
                odt_window_row_of(number, stride)(acc, plane + i * pitch + j, taps + i * kw + j,
                                                  count, plane_step, acc_step, end);
                j += number;
            }
        }
    }
}

#endif
