#include "host_flash.h"

#include <stdio.h>

#include "file_flash.h"

static FILE *stream;

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

int host_flash_open(odt_flash_t *flash, const char *path)
{
    static const file_access_t file = {
        .read = stream_read, .write = stream_write, .sync = stream_sync};
    long bytes;
    stream = fopen(path, "r+b");
    if (stream == NULL) stream = fopen(path, "w+b");
    if (stream == NULL) return -1;
    bytes = fseek(stream, 0, SEEK_END) == 0 ? ftell(stream) : -1;
    if (bytes >= 0 && bytes <= (long)FILE_FLASH_BYTES &&
        file_flash_init(flash, &file, (uint32_t)bytes) == 0 && fflush(stream) == 0)
        return 0;
    fclose(stream);
    return -1;
}
