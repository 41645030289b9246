#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fuzz_check(int holds, const char *text, const char *file, int line)
{
    if (holds) return;
    fprintf(stderr, "%s:%d: check failed: %s\n", file, line, text);
    abort();
}

uint32_t fuzz_crc(const uint8_t *data, size_t bytes)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < bytes; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ ((crc & 1u) ? 0xedb88320u : 0u);
    }
    return ~crc;
}

uint32_t fuzz_below(uint32_t *state, uint32_t bound)
{
    *state = *state * 1664525u + 1013904223u;
    return (*state >> 8) % bound;
}

uint32_t fuzz_get16(const uint8_t *at)
{
    return at[0] | (uint32_t)at[1] << 8;
}

uint32_t fuzz_get32(const uint8_t *at)
{
    return fuzz_get16(at) | fuzz_get16(at + 2) << 16;
}

void fuzz_put32(uint8_t *at, uint32_t value)
{
    memcpy(at, &value, sizeof value); /* the host is little-endian, as the protocol is */
}
