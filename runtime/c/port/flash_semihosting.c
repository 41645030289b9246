/* The flash of an emulated board: the file flash.bin in the directory that the emulator runs in. */
#include "file_flash.h"
#include "odt_board.h"
#include "semihosting.h"

static int handle;

static int handle_read(uint32_t offset, void *data, uint32_t bytes)
{
    if (semihosting_seek(handle, offset) != 0) return -1;
    return semihosting_read(handle, data, bytes) == 0 ? 0 : -1;
}

static int handle_write(uint32_t offset, const void *data, uint32_t bytes)
{
    if (semihosting_seek(handle, offset) != 0) return -1;
    return semihosting_write(handle, data, bytes) == 0 ? 0 : -1;
}

static int handle_create(void)
{
    handle = semihosting_open("flash.bin", SEMIHOSTING_CREATE);
    return handle >= 0 ? 0 : -1;
}

__attribute__((weak)) const odt_flash_t *odt_board_flash(void)
{
    static const file_access_t file = {
        .create = handle_create, .read = handle_read, .write = handle_write};
    static odt_flash_t flash;
    handle = semihosting_open("flash.bin", SEMIHOSTING_UPDATE);
    const int bytes = handle >= 0 ? semihosting_length(handle) : -1;
    if (handle >= 0 && bytes < 0) return NULL;
    return file_flash_init(&flash, &file, bytes) == 0 ? &flash : NULL;
}
