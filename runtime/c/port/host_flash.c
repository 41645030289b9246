#include "host_flash.h"

#include <stdio.h>

#include "file_flash.h"

static FILE *stream;
static const char *name;

static int stream_read(uint32_t offset, void *data, uint32_t bytes)
{
    if (fseek(stream, (long)offset, SEEK_SET) != 0) return -1;
    return fread(data, 1, bytes, stream) == bytes ? 0 : -1;
}

static int stream_write(uint32_t offset, const void *data, uint32_t bytes)
{
    if (fseek(stream, (long)offset, SEEK_SET) != 0) return -1;
    return fwrite(data, 1, bytes, stream) == bytes ? 0 : -1;
}

static int stream_sync(void)
{
    return fflush(stream) == 0 ? 0 : -1;
}

static int stream_create(void)
{
    stream = fopen(name, "w+b");
    return stream != NULL ? 0 : -1;
}

/* The bytes of the open stream, or negative. */
static int32_t stream_length(void)
{
    const long bytes = fseek(stream, 0, SEEK_END) == 0 ? ftell(stream) : -1;
    return bytes <= INT32_MAX ? (int32_t)bytes : INT32_MAX;
}

int host_flash_open(odt_flash_t *flash, const char *path)
{
    static const file_access_t file = {
        .create = stream_create, .read = stream_read, .write = stream_write, .sync = stream_sync};
    int32_t bytes = -1;
    name = path;
    stream = fopen(path, "r+b");
    if (stream != NULL && (bytes = stream_length()) < 0) return -1;
    return file_flash_init(flash, &file, bytes);
}
