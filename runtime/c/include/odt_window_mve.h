/*
 * odt_window.h for Helium; taps lie as the filter does.
 *
 * A window of 3 x 3 takes four columns a vector, with 32-bit lanes: a tap is a scalar. Any other
 * takes a row of taps a vector, up to eight, which VMLADAVA sums up: so a load serves all of them.
 *
 * The loops are in assembly because compilers do not make loops that predicate their own tail yet:
 * LETP leaves out the columns beyond the end.
 */
#ifndef ODT_WINDOW_MVE_H
#define ODT_WINDOW_MVE_H

#include <arm_mve.h>

#define ODT_TAPS(kh, kw) ((kh) * (kw))

ODT_INLINE void odt_zero(int16_t *to, int32_t count)
{
    if (count <= 0) return;
    __asm__ volatile("dlstp.16 lr, %[count]\n"
                     "1: vstrh.16 %q[zero], [%[to]], #16\n"
                     "letp lr, 1b\n"
                     : [to] "+r"(to)
                     : [zero] "w"(vdupq_n_s16(0)), [count] "r"(count)
                     : "lr", "memory");
}

ODT_INLINE void odt_widen(int16_t *to, const int8_t *x, int32_t zero_point, int32_t count)
{
    if (count <= 0) return;
    __asm__ volatile("dlstp.16 lr, %[count]\n"
                     "1: vldrb.s16 q0, [%[x]], #8\n"
                     "vsub.i16 q0, q0, %[zero_point]\n"
                     "vstrh.16 q0, [%[to]], #16\n"
                     "letp lr, 1b\n"
                     : [to] "+r"(to), [x] "+l"(x)
                     : [zero_point] "r"(zero_point), [count] "r"(count)
                     : "q0", "lr", "memory");
}

ODT_INLINE void odt_taps(int16_t *taps, const int8_t *w, int32_t kh, int32_t kw)
{
    odt_widen(taps, w, 0, kh * kw);
}

ODT_INLINE void odt_taps_flipped(int16_t *taps, const int8_t *w, int32_t kh, int32_t kw)
{
    const uint16x8_t turned = vddupq_n_u16(7, 1); /* 7, 6, ... 0 */
    const int8_t *end = w + kh * kw;
    __asm__ volatile("dlstp.16 lr, %[count]\n"
                     "1: sub %[end], %[end], #8\n"
                     "vldrb.s16 q0, [%[end], %q[turned]]\n"
                     "vstrh.16 q0, [%[taps]], #16\n"
                     "letp lr, 1b\n"
                     : [taps] "+r"(taps), [end] "+r"(end)
                     : [turned] "w"(turned), [count] "r"(kh * kw)
                     : "q0", "lr", "memory");
}

/* R rows of up to eight taps, times windows that are `step` bytes apart: r1 ... the rows of the
 * plane, q1 ... the taps, r8 the sum.
 *
 * The taps of the last row are the upper lanes of their vector, those of the others the lower ones:
 * so no load leaves the plane.
 *
 * do {
 *     for (`count` >= 1 windows) a sum
 *     plane += plane_step bytes, from the end of the row on
 * } while (acc != acc_end) */
#define ODT_WINDOW_ROWS(name, taps, last_taps, products, steps)                                \
    ODT_ASSEMBLY void name(                                                                    \
        int32_t *acc __attribute__((unused)), const int16_t *plane __attribute__((unused)),    \
        const int16_t *w __attribute__((unused)), int32_t pitch_bytes __attribute__((unused)), \
        int32_t kw __attribute__((unused)), int32_t w_bytes __attribute__((unused)),           \
        int32_t count __attribute__((unused)), int32_t plane_step __attribute__((unused)),     \
        const int32_t *acc_end __attribute__((unused)))                                        \
    {                                                                                          \
        __asm__("push {r4-r11, lr}\n"                                                          \
                "vpush {d8-d15}\n"                                                             \
                "mov r10, r2\n"                                                                \
                "mov r9, r3\n"                                                                 \
                "ldrd r11, r12, [sp, #100]\n"                                                  \
                "vctp.16 r11\n" taps                                                           \
                "rsb r11, r11, #8\n"                                                           \
                "sub r10, r10, r11, lsl #1\n"                                                  \
                "vctp.16 r11\n"                                                                \
                "vpnot\n" last_taps                                                            \
                "ldrd r10, r9, [sp, #108]\n"                                                   \
                "ldr r11, [sp, #116]\n"                                                        \
                "0: dls lr, r10\n"                                                             \
                "1: ldr r8, [r0]\n" products                                                   \
                "str r8, [r0], #4\n"                                                           \
                "le lr, 1b\n"                                                                  \
                "cmp r0, r11\n" steps                                                          \
                "bne 0b\n"                                                                     \
                "vpop {d8-d15}\n"                                                              \
                "pop {r4-r11, pc}\n");                                                         \
    }

/* Of a row but the last: its taps, and where the next one lies. */
#define ODT_ROW_TAPS(q, row, next) \
    "vpst\n vldrht.u16 " q ", [r10]\n add r10, r10, r12\n add " next ", " row ", r9\n"
#define ODT_LAST_TAPS(q, row) "vpst\n vldrht.u16 " q ", [r10]\n sub " row ", " row ", r11, lsl #1\n"
#define ODT_ROW(q, row, step) "vldrh.u16 q0, [" row "], #" step "\n vmladava.s16 r8, q0, " q "\n"
#define ODT_STEP(row) "add " row ", " row ", r9\n"

#define ODT_TAPS1 ""
#define ODT_TAPS2 ODT_TAPS1 ODT_ROW_TAPS("q1", "r1", "r2")
#define ODT_TAPS3 ODT_TAPS2 ODT_ROW_TAPS("q2", "r2", "r3")
#define ODT_TAPS4 ODT_TAPS3 ODT_ROW_TAPS("q3", "r3", "r4")
#define ODT_TAPS5 ODT_TAPS4 ODT_ROW_TAPS("q4", "r4", "r5")
#define ODT_TAPS6 ODT_TAPS5 ODT_ROW_TAPS("q5", "r5", "r6")
#define ODT_TAPS7 ODT_TAPS6 ODT_ROW_TAPS("q6", "r6", "r7")
#define ODT_ROWS1(step) ODT_ROW("q1", "r1", step)
#define ODT_ROWS2(step) ODT_ROWS1(step) ODT_ROW("q2", "r2", step)
#define ODT_ROWS3(step) ODT_ROWS2(step) ODT_ROW("q3", "r3", step)
#define ODT_ROWS4(step) ODT_ROWS3(step) ODT_ROW("q4", "r4", step)
#define ODT_ROWS5(step) ODT_ROWS4(step) ODT_ROW("q5", "r5", step)
#define ODT_ROWS6(step) ODT_ROWS5(step) ODT_ROW("q6", "r6", step)
#define ODT_ROWS7(step) ODT_ROWS6(step) ODT_ROW("q7", "r7", step)
#define ODT_STEPS1 ODT_STEP("r1")
#define ODT_STEPS2 ODT_STEPS1 ODT_STEP("r2")
#define ODT_STEPS3 ODT_STEPS2 ODT_STEP("r3")
#define ODT_STEPS4 ODT_STEPS3 ODT_STEP("r4")
#define ODT_STEPS5 ODT_STEPS4 ODT_STEP("r5")
#define ODT_STEPS6 ODT_STEPS5 ODT_STEP("r6")
#define ODT_STEPS7 ODT_STEPS6 ODT_STEP("r7")

#define ODT_WINDOW_OF_ROWS(n)                                                           \
    ODT_WINDOW_ROWS(odt_window_rows##n##_1, ODT_TAPS##n, ODT_LAST_TAPS("q" #n, "r" #n), \
                    ODT_ROWS##n("2"), ODT_STEPS##n)                                     \
    ODT_WINDOW_ROWS(odt_window_rows##n##_2, ODT_TAPS##n, ODT_LAST_TAPS("q" #n, "r" #n), \
                    ODT_ROWS##n("4"), ODT_STEPS##n)

ODT_WINDOW_OF_ROWS(1)
ODT_WINDOW_OF_ROWS(2)
ODT_WINDOW_OF_ROWS(3)
ODT_WINDOW_OF_ROWS(4)
ODT_WINDOW_OF_ROWS(5)
ODT_WINDOW_OF_ROWS(6)
ODT_WINDOW_OF_ROWS(7)

typedef void (*odt_window_rows_fn)(int32_t *, const int16_t *, const int16_t *, int32_t, int32_t,
                                   int32_t, int32_t, int32_t, const int32_t *);

/* The function of `rows` 1 ... 7 and stride 1 or 2. */
ODT_INLINE odt_window_rows_fn odt_window_rows_of(int32_t rows, int32_t stride)
{
    if (rows == 1) return stride == 1 ? odt_window_rows1_1 : odt_window_rows1_2;
    if (rows == 2) return stride == 1 ? odt_window_rows2_1 : odt_window_rows2_2;
    if (rows == 3) return stride == 1 ? odt_window_rows3_1 : odt_window_rows3_2;
    if (rows == 4) return stride == 1 ? odt_window_rows4_1 : odt_window_rows4_2;
    if (rows == 5) return stride == 1 ? odt_window_rows5_1 : odt_window_rows5_2;
    if (rows == 6) return stride == 1 ? odt_window_rows6_1 : odt_window_rows6_2;
    return stride == 1 ? odt_window_rows7_1 : odt_window_rows7_2;
}

/* Four columns times the tap in `w`. */
#define ODT_TAP(address, w) "vldrh.s32 q1, " address "\n vmla.s32 q0, q1, " w "\n"
#define ODT_TAP3(row, w0, w1, w2) \
    ODT_TAP("[" row ", #2]", w1) ODT_TAP("[" row ", #4]", w2) ODT_TAP("[" row "], #8", w0)
/* The same of every other column: pairs of columns, of which VMOVLB and VMOVLT take one each. */
#define ODT_TAP3_2(row, w0, w1, w2)                                \
    "vldrw.u32 q1, [" row ", #4]\n vldrw.u32 q2, [" row "], #16\n" \
    "vmovlb.s16 q1, q1\n vmla.s32 q0, q1, " w2 "\n"                \
    "vmovlt.s16 q1, q2\n vmla.s32 q0, q1, " w1 "\n"                \
    "vmovlb.s16 q2, q2\n vmla.s32 q0, q2, " w0 "\n"

/* 3 x 3 taps: r0 acc, r1-r3 rows of the plane, r4-r12 taps, lr columns left.
 *
 * do {
 *     for (`count` >= 1 columns) a sum, by vectors
 *     acc += acc_step bytes, plane += plane_step bytes, both from the end of the last vector
 * } while (acc != acc_end) */
#define ODT_WINDOW3(name, taps3)                                                                  \
    ODT_ASSEMBLY void name(                                                                       \
        int32_t *acc __attribute__((unused)), const int16_t *plane __attribute__((unused)),       \
        const int16_t *w __attribute__((unused)), int32_t pitch_bytes __attribute__((unused)),    \
        int32_t count __attribute__((unused)), int32_t plane_step __attribute__((unused)),        \
        int32_t acc_step __attribute__((unused)), const int32_t *acc_end __attribute__((unused))) \
    {                                                                                             \
        __asm__("push {r4-r11, lr}\n"                                                             \
                "mov lr, r2\n"                                                                    \
                "add r2, r1, r3\n"                                                                \
                "add r3, r2, r3\n"                                                                \
                "ldrsh r4, [lr]\n ldrsh r5, [lr, #2]\n ldrsh r6, [lr, #4]\n"                      \
                "ldrsh r7, [lr, #6]\n ldrsh r8, [lr, #8]\n ldrsh r9, [lr, #10]\n"                 \
                "ldrsh r10, [lr, #12]\n ldrsh r11, [lr, #14]\n ldrsh r12, [lr, #16]\n"            \
                "0: ldr lr, [sp, #36]\n"                                                          \
                "dlstp.32 lr, lr\n"                                                               \
                "1: vldrw.32 q0, [r0]\n" taps3("r1", "r4", "r5", "r6")                            \
                    taps3("r2", "r7", "r8", "r9") taps3("r3", "r10", "r11", "r12")                \
                "vstrw.32 q0, [r0], #16\n"                                                        \
                "letp lr, 1b\n"                                                                   \
                "ldr lr, [sp, #40]\n"                                                             \
                "add r1, r1, lr\n"                                                                \
                "add r2, r2, lr\n"                                                                \
                "add r3, r3, lr\n"                                                                \
                "ldr lr, [sp, #44]\n"                                                             \
                "add r0, r0, lr\n"                                                                \
                "ldr lr, [sp, #48]\n"                                                             \
                "cmp r0, lr\n"                                                                    \
                "bne 0b\n"                                                                        \
                "pop {r4-r11, pc}\n");                                                            \
    }

ODT_WINDOW3(odt_window3_1, ODT_TAP3)
ODT_WINDOW3(odt_window3_2, ODT_TAP3_2)
#undef ODT_WINDOW3

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
            /* gcc 12 takes it for a store of the whole vector: what lies behind is used */
            __asm__("" : "+m"(*(int32_t(*)[4])(acc + q)));
            vstrwq_p_s32(acc + q, sum, left);
        }
    }
}

/* By rows of taps, up to seven rows of eight at a time; stride 1 or 2. */
ODT_INLINE void odt_window_by_rows(int32_t *acc, const int16_t *plane, int32_t pitch,
                                   const int16_t *taps, int32_t kh, int32_t kw, int32_t stride,
                                   int32_t rows, int32_t count)
{
    for (int32_t i = 0; i < kh; i += 7) {
        const int32_t number = kh - i < 7 ? kh - i : 7;
        for (int32_t j = 0; j < kw; j += 8) {
            odt_window_rows_of(number, stride)(acc, plane + i * pitch + j, taps + i * kw + j,
                                               2 * pitch, kw - j < 8 ? kw - j : 8, 2 * kw, count,
                                               2 * stride * (pitch - count), acc + rows * count);
        }
    }
}

ODT_INLINE void odt_window(int32_t *acc, const int16_t *plane, int32_t pitch, const int16_t *taps,
                           int32_t kh, int32_t kw, int32_t stride, int32_t rows, int32_t count)
{
    const int32_t vectors = (count + 3) / 4;
    const int32_t acc_step = 4 * count - 16 * vectors; /* from the end of a row on */
    const int32_t plane_step = stride * (2 * pitch - 8 * vectors);
    const int32_t *end = acc + rows * count;
    const int32_t beyond = 8 - (kw < 8 ? kw : 8); /* what a vector reads beside the taps of a row */
    if (rows < 1 || count < 1) return;
    if (kh == 3 && kw == 3 && stride == 1) {
        odt_window3_1(acc, plane, taps, 2 * pitch, count, plane_step, acc_step, end);
    } else if (kh == 3 && kw == 3 && stride == 2 && ((uintptr_t)plane & 3) == 0) {
        odt_window3_2(acc, plane, taps, 2 * pitch, count, plane_step, acc_step, end);
    } else if (stride <= 2 && beyond <= pitch && beyond <= (kh - 1) * pitch) {
        odt_window_by_rows(acc, plane, pitch, taps, kh, kw, stride, rows, count);
    } else {
        odt_window_gathered(acc, plane, pitch, taps, kh, kw, stride, rows, count);
    }
}

#endif
