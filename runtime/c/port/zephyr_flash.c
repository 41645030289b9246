#include "zephyr_flash.h"

#include <zephyr/drivers/flash.h>
#include <zephyr/storage/flash_map.h>
#include <zephyr/toolchain.h>

BUILD_ASSERT(IS_ENABLED(CONFIG_FLASH_MAP) && IS_ENABLED(CONFIG_FLASH_PAGE_LAYOUT),
             "odt: the flash of storage_partition has no driver; set CONFIG_ODT_STORE=n");

static int area_read(void *context, uint32_t offset, void *data, uint32_t bytes)
{
    return flash_area_read((const struct flash_area *)context, (off_t)offset, data, bytes);
}

static int area_program(void *context, uint32_t offset, const void *data, uint32_t bytes)
{
    return flash_area_write((const struct flash_area *)context, (off_t)offset, data, bytes);
}

static odt_flash_t flash = {.read = area_read, .program = area_program};

static int area_erase(void *context, uint32_t offset)
{
    return flash_area_erase((const struct flash_area *)context, (off_t)offset, flash.block_bytes);
}

/* The size of the page that holds `offset` of the area, or 0. */
static uint32_t page_bytes(const struct flash_area *area, uint32_t offset)
{
    struct flash_pages_info page;
    const struct device *device = flash_area_get_device(area);
    const off_t at = area->fa_off + (off_t)offset;
    return flash_get_page_info_by_offs(device, at, &page) == 0 ? (uint32_t)page.size : 0;
}

const odt_flash_t *zephyr_flash_open(void)
{
    const struct flash_area *area;
    if (flash_area_open(FIXED_PARTITION_ID(storage_partition), &area) != 0) return NULL;
    flash.block_bytes = page_bytes(area, 0);
    if (flash.block_bytes == 0) return NULL;
    if (page_bytes(area, (uint32_t)area->fa_size - 1u) != flash.block_bytes) return NULL;
    flash.context = (void *)(uintptr_t)area;
    flash.erase = area_erase;
    flash.program_bytes = flash_area_align(area);
    flash.block_count = (uint32_t)area->fa_size / flash.block_bytes;
    return &flash;
}
