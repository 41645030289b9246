#include "odt_frame.h"

#include <string.h>

#include "odt_crc.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "odt_frame: numbers are sent as they lie in memory, which must be little-endian"
#endif

#define MAGIC 0x3154444fu /* "ODT1" */
#define PIECE_BYTES 16u

static int read_bytes(odt_connection_t *c, void *data, size_t bytes, enum odt_patience patience)
{
    const int status = c->io->read(c->io->context, data, bytes, patience);
    if (status == 0) return ODT_OK;
    return status == ODT_ERR_TIMEOUT ? ODT_ERR_TIMEOUT : ODT_ERR_IO;
}

static int write_bytes(odt_connection_t *c, const void *data, size_t bytes)
{
    return c->io->write(c->io->context, data, bytes) == 0 ? ODT_OK : ODT_ERR_IO;
}

/* Writes one frame. */
static int send(odt_connection_t *c, int type, const void *payload, uint32_t length)
{
    const uint32_t magic = MAGIC;
    uint8_t header[9];
    memcpy(header, &magic, 4);
    header[4] = (uint8_t)type;
    memcpy(header + 5, &length, 4);

    uint32_t crc = odt_crc32(0, header + 4, 5);
    int status = write_bytes(c, header, sizeof header);
    if (status == ODT_OK && length > 0) {
        crc = odt_crc32(crc, payload, length);
        status = write_bytes(c, payload, length);
    }
    return status == ODT_OK ? write_bytes(c, &crc, sizeof crc) : status;
}

int odt_frame_reply(odt_connection_t *c, const void *payload, uint32_t length)
{
    return send(c, c->type | ODT_REPLY, payload, length);
}

/* Whether what failed so was no frame, or may have swallowed part of the next one. */
static int lost_its_end(int status)
{
    return status == ODT_ERR_SYNC || status == ODT_ERR_TYPE || status == ODT_ERR_LENGTH ||
           status == ODT_ERR_CRC || status == ODT_ERR_TIMEOUT;
}

int odt_frame_error(odt_connection_t *c, int code)
{
    const int32_t payload = code;
    if (lost_its_end(code)) c->in_sync = 0;
    return send(c, ODT_ERROR, &payload, sizeof payload);
}

/* The checksum is computed piece by piece: a UART that holds one byte has to be read again before
 * the next but one comes. */
int odt_frame_receive(odt_connection_t *c, void *data, size_t bytes)
{
    uint8_t *next = (uint8_t *)data;
    while (bytes > 0) {
        const size_t piece = bytes < PIECE_BYTES ? bytes : PIECE_BYTES;
        const int status = read_bytes(c, next, piece, ODT_HURRY);
        if (status != ODT_OK) return status;
        c->crc = odt_crc32(c->crc, next, piece);
        next += piece;
        bytes -= piece;
    }
    return ODT_OK;
}

int odt_frame_sample(odt_connection_t *c, int with_target)
{
    int status = odt_frame_receive(c, odt_input(c->odt), ODT_SAMPLE_BYTES);
    if (status == ODT_OK && with_target)
        status = odt_frame_receive(c, c->message->target, sizeof c->message->target);
    return status == ODT_OK ? odt_frame_finish(c) : status;
}

int odt_frame_finish(odt_connection_t *c)
{
    uint32_t crc;
    const int status = read_bytes(c, &crc, sizeof crc, ODT_HURRY);
    if (status != ODT_OK) return status;
    return crc == c->crc ? ODT_OK : ODT_ERR_CRC;
}

int odt_frame_begin(odt_connection_t *c, int *ended)
{
    uint32_t window = 0;
    uint8_t header[5];
    uint8_t byte;
    int status;
    *ended = read_bytes(c, &byte, 1, ODT_WAIT) != ODT_OK;
    if (*ended) return ODT_OK;
    window = (uint32_t)byte << 24;
    for (unsigned seen = 1; seen < 4 || window != MAGIC; seen++) {
        if (seen == 4 && c->in_sync && odt_frame_error(c, ODT_ERR_SYNC) != ODT_OK)
            return ODT_ERR_IO;
        if (read_bytes(c, &byte, 1, ODT_WAIT) != ODT_OK) return ODT_ERR_IO;
        window = window >> 8 | (uint32_t)byte << 24;
    }
    c->in_sync = 1;
    status = read_bytes(c, header, sizeof header, ODT_HURRY);
    if (status != ODT_OK) return status;
    c->crc = odt_crc32(0, header, sizeof header);
    c->type = header[0];
    memcpy(&c->length, header + 1, 4);
    return ODT_OK;
}
