/* odt_epilogue.h in C99. */
#ifndef ODT_EPILOGUE_PORTABLE_H
#define ODT_EPILOGUE_PORTABLE_H

ODT_INLINE void odt_requantize_row(int8_t **out, const int32_t **acc, int32_t bias,
                                   int32_t multiplier, int32_t shift, int32_t offset,
                                   int32_t count)
{
    for (int32_t q = 0; q < count; ++q) {
        const int32_t code =
            odt_requantize_high(*(*acc)++ + bias, multiplier, shift, offset);
        *(*out)++ = (int8_t)odt_clamp8(code);
    }
}

ODT_INLINE uint32_t odt_requantize_row_masked(int8_t **out, const int32_t **acc, int32_t bias,
                                              int32_t multiplier, int32_t shift, int32_t offset,
                                              int32_t count)
{
    uint32_t bits = 0;
    for (int32_t q = 0; q < count; ++q) {
        const int32_t code =
            odt_requantize_high(*(*acc)++ + bias, multiplier, shift, offset);
        *(*out)++ = (int8_t)odt_clamp8(code);
        bits |= (uint32_t)odt_is_int8(code) << q;
    }
    return bits;
}

#endif
