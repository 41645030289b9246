/* fuzz: what the harnesses share: checks, a CRC of their own, and the fuzzer's functions. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Ends the run with the line of a check that failed; the fuzzer keeps the input. */
#define CHECK(condition) fuzz_check((condition) != 0, #condition, __FILE__, __LINE__)
void fuzz_check(int holds, const char *text, const char *file, int line);

/* CRC-32, bit by bit: written anew, so that a mistake in odt_crc.c would show. */
uint32_t fuzz_crc(const uint8_t *data, size_t bytes);

/* A number below `bound` from a generator whose state is *state. */
uint32_t fuzz_below(uint32_t *state, uint32_t bound);

/* 16 or 32 bits as they lie in memory. */
uint32_t fuzz_get16(const uint8_t *at);
uint32_t fuzz_get32(const uint8_t *at);
void fuzz_put32(uint8_t *at, uint32_t value);

/* libFuzzer: the first two are ours, the third its own mutation. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

#endif
