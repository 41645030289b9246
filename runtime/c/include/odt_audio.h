/*
 * odt_audio: features of sound, frame by frame: log-mel energies or their cepstral coefficients.
 *
 * `ondevice-train audio-frontend` writes the tables (an odt_audio_t) of one front end; the host
 * computes with the same C. Features are the same bits on every target, see odt_math.h.
 *
 * A frame is `window` samples, one every `hop`. Its samples / 32768 times the window's shape, zeros
 * behind them up to `fft`, give the spectrum; the power (or magnitude) of its bins, weighted by each
 * band's triangle, gives the bands' energies e; log(e + offset) are the features. With coefficients
 * those are transformed by the orthonormal DCT-II instead.
 */
#ifndef ODT_AUDIO_H
#define ODT_AUDIO_H

#include <stdint.h>

#include "odt_math.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct odt_audio {
    int32_t window, hop;     /* samples; 0 < window <= fft */
    int32_t fft;             /* a power of two from 4 up */
    int32_t bands;           /* from 1 up */
    int32_t coefficients;    /* at most `bands`; 0: the features are the bands */
    int32_t magnitude;       /* 1: of magnitudes, 0: of power */
    float offset;            /* above 0 */
    const float *shape;      /* [window] */
    const float *turns;      /* [fft / 2][2], cosine and sine of 2 pi k / fft */
    const uint16_t *first;   /* [bands], the first bin of each band */
    const uint16_t *count;   /* [bands], how many it has */
    const float *weights;    /* those of all bands, one behind the other */
    const float *cosines;    /* [coefficients][bands] */
} odt_audio_t;

/* How many features a frame has. */
static inline int32_t odt_audio_features(const odt_audio_t *audio)
{
    return audio->coefficients ? audio->coefficients : audio->bands;
}

/* How many floats of work a frame takes. */
static inline int32_t odt_audio_work(const odt_audio_t *audio)
{
    return audio->fft + audio->bands;
}

/* How many samples `frames` frames need, frames >= 1. */
static inline int32_t odt_audio_samples(const odt_audio_t *audio, int32_t frames)
{
    return audio->window + (frames - 1) * audio->hop;
}

/* The discrete Fourier transform of z, `count` complex numbers as pairs, in its place. `count` is a
 * power of two; entry k * stride of `turns` is cosine and sine of 2 pi k / count. */
static inline void odt_audio_transform(float *z, int32_t count, const float *turns, int32_t stride)
{
    for (int32_t i = 1, j = 0; i < count; i++) { /* j is i with its bits in reverse */
        int32_t bit = count >> 1;
        for (; j & bit; bit >>= 1) j ^= bit;
        j ^= bit;
        if (i < j) {
            const float re = z[2 * i], im = z[2 * i + 1];
            z[2 * i] = z[2 * j];
            z[2 * i + 1] = z[2 * j + 1];
            z[2 * j] = re;
            z[2 * j + 1] = im;
        }
    }
    for (int32_t half = 1; half < count; half *= 2) {
        const int32_t step = count / (2 * half) * stride;
        for (int32_t k = 0; k < half; k++) {
            const float c = turns[2 * k * step], s = turns[2 * k * step + 1];
            for (int32_t i = k; i < count; i += 2 * half) {
                float *const a = z + 2 * i, *const b = a + 2 * half;
                const float re = c * b[0] + s * b[1];
                const float im = c * b[1] - s * b[0];
                b[0] = a[0] - re;
                b[1] = a[1] - im;
                a[0] += re;
                a[1] += im;
            }
        }
    }
}

/* From `fft` real numbers in x, in their place, the power of the spectrum: of bin k < fft / 2 at
 * x[2 k], of bin fft / 2 at x[1]. */
static inline void odt_audio_power(const odt_audio_t *audio, float *x)
{
    const int32_t half = audio->fft / 2;
    /* Neighbours as one complex number: a transform of half the length. */
    odt_audio_transform(x, half, audio->turns, 2);
    {
        const float low = x[0] + x[1], high = x[0] - x[1];
        x[0] = low * low;
        x[1] = high * high;
    }
    for (int32_t k = 1; k <= half - k; k++) {
        float *const a = x + 2 * k, *const b = x + 2 * (half - k);
        const float c = audio->turns[2 * k], s = audio->turns[2 * k + 1];
        /* The spectra of the even numbers and of the odd ones, which follow by half a step. */
        const float even_re = 0.5f * (a[0] + b[0]), even_im = 0.5f * (a[1] - b[1]);
        const float odd_re = 0.5f * (a[1] + b[1]), odd_im = 0.5f * (b[0] - a[0]);
        const float re = c * odd_re + s * odd_im, im = c * odd_im - s * odd_re;
        const float sum_re = even_re + re, sum_im = even_im + im;
        const float apart_re = even_re - re, apart_im = even_im - im;
        a[0] = sum_re * sum_re + sum_im * sum_im;
        b[0] = apart_re * apart_re + apart_im * apart_im;
    }
}

/* The features of one frame, samples[window]; feature i goes to features[i * step].
 * work : odt_audio_work() floats. */
static inline void odt_audio_frame(const odt_audio_t *audio, const int16_t *samples, float *work,
                                   float *features, int32_t step)
{
    const int32_t half = audio->fft / 2;
    float *const logs = work + audio->fft;
    const float *weight = audio->weights;
    for (int32_t i = 0; i < audio->fft; i++) {
        const int within = i < audio->window;
        work[i] = within ? (float)samples[i] * (1.0f / 32768.0f) * audio->shape[i] : 0.0f;
    }
    odt_audio_power(audio, work);
    if (audio->magnitude) {
        for (int32_t i = 0; i < audio->fft; i += 2) work[i] = odt_sqrtf(work[i]);
        work[1] = odt_sqrtf(work[1]);
    }
    for (int32_t band = 0; band < audio->bands; band++) {
        float sum = 0.0f;
        for (int32_t i = 0; i < audio->count[band]; i++) {
            const int32_t bin = audio->first[band] + i;
            sum += *weight++ * (bin < half ? work[2 * bin] : work[1]);
        }
        logs[band] = odt_logf(sum + audio->offset);
    }
    if (!audio->coefficients) {
        for (int32_t band = 0; band < audio->bands; band++) features[band * step] = logs[band];
    }
    for (int32_t i = 0; i < audio->coefficients; i++) {
        const float *const cosines = audio->cosines + i * audio->bands;
        float sum = 0.0f;
        for (int32_t band = 0; band < audio->bands; band++) sum += cosines[band] * logs[band];
        features[i * step] = sum;
    }
}

/* The features of `frames` frames of samples[odt_audio_samples()]: feature i of frame t goes to
 * features[t * frame_step + i * feature_step]. work : as above. */
static inline void odt_audio_frames(const odt_audio_t *audio, const int16_t *samples,
                                    int32_t frames, float *work, float *features,
                                    int32_t frame_step, int32_t feature_step)
{
    for (int32_t t = 0; t < frames; t++) {
        odt_audio_frame(audio, samples + t * audio->hop, work, features + t * frame_step,
                        feature_step);
    }
}

#ifdef __cplusplus
}
#endif

#endif
