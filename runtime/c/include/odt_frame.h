/*
 * odt_frame: one frame of odt_protocol.h after the other, read, checked and answered. Each function
 * returns ODT_OK, or an error of odt_protocol.h.
 */
#ifndef ODT_FRAME_H
#define ODT_FRAME_H

#include "odt_protocol.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ODT_SAMPLE_BYTES ((uint32_t)(ODT_INPUT_ELEMENTS * sizeof(odt_input_t)))

/* One server and the frame it is reading. */
typedef struct odt_connection {
    const odt_io_t *io;
    odt_t *odt;
    odt_message_t *message;
    int in_sync;     /* 0 after a bad frame, until the next magic: no second error meanwhile */
    uint32_t crc;    /* of the frame so far */
    uint8_t type;    /* of the frame */
    uint32_t length; /* of its payload */
} odt_connection_t;

/* Finds the next magic, however long it takes, and reads the header behind it. Reports the end of
 * the stream before a frame has begun through *ended. */
int odt_frame_begin(odt_connection_t *c, int *ended);

/* Reads the next part of the payload. */
int odt_frame_receive(odt_connection_t *c, void *data, size_t bytes);

/* Reads a sample, and the target behind it where there is one, and the end of the frame. */
int odt_frame_sample(odt_connection_t *c, int with_target);

/* Reads the checksum that ends a frame. */
int odt_frame_finish(odt_connection_t *c);

/* Answers the request. */
int odt_frame_reply(odt_connection_t *c, const void *payload, uint32_t length);

/* Answers it with an error. What follows a bad frame is no frame until the next magic. */
int odt_frame_error(odt_connection_t *c, int code);

#ifdef __cplusplus
}
#endif

#endif
