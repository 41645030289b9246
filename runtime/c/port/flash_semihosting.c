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

__attribute__((weak)) const odt_flash_t *odt_board_flash(void)
{
    static const file_access_t file = {.read = handle_read, .write = handle_write};
    static odt_flash_t flash;
    int bytes;
    handle = semihosting_open("flash.bin", SEMIHOSTING_UPDATE);
    if (handle < 0) handle = semihosting_open("flash.bin", SEMIHOSTING_CREATE);
    if (handle < 0) return NULL;
    bytes = semihosting_length(handle);
    return bytes >= 0 && file_flash_init(&flash, &file, (uint32_t)bytes) == 0 ? &flash : NULL;
}
