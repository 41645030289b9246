/*
 * odt_crc: CRC-32 as zlib and Ethernet have it, for the frames of odt_protocol and the images of
 * odt_store.
 */
#ifndef ODT_CRC_H
#define ODT_CRC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* CRC-32 of `bytes` at `data`, continuing from `crc` (0 to begin). */
uint32_t odt_crc32(uint32_t crc, const void *data, size_t bytes);

#ifdef __cplusplus
}
#endif

#endif
