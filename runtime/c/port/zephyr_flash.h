/* zephyr_flash: Zephyr's partition storage_partition as the flash of odt_store.h. */
#ifndef ZEPHYR_FLASH_H
#define ZEPHYR_FLASH_H

#include "odt_store.h"

/* The one flash of this program, or NULL if the partition cannot be used: its driver is not
 * ready, the pages that are erased differ in size, it begins or ends inside one, or erased bytes
 * are not 0xff. */
const odt_flash_t *zephyr_flash_open(void);

#endif
