/* zephyr_flash: Zephyr's partition storage_partition as the flash of odt_store.h. */
#ifndef ZEPHYR_FLASH_H
#define ZEPHYR_FLASH_H

#include "odt_store.h"

/* The one flash of this program, or NULL if the partition cannot be used: its driver is not
 * there, or the blocks that are erased differ in size. */
const odt_flash_t *zephyr_flash_open(void);

#endif
