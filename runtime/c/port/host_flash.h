/* host_flash: flash in a file, through the C library; see file_flash.h. */
#ifndef HOST_FLASH_H
#define HOST_FLASH_H

#include "odt_store.h"

/* Opens the one flash of this program, in the file `path`, which must outlive it as a string. 0, or
 * negative if that is not the flash of a model of this size. */
int host_flash_open(odt_flash_t *flash, const char *path);

#endif
