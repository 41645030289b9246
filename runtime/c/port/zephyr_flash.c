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

/* The size of the pages that the area consists of; 0 if they differ, or it begins or ends in one. */
static uint32_t page_bytes(const struct flash_area *area)
{
    struct flash_pages_info page = {.size = 0};
    size_t bytes = 0;
    for (size_t at = 0; at < area->fa_size; at += bytes) {
        const off_t offset = area->fa_off + (off_t)at;
        if (flash_get_page_info_by_offs(flash_area_get_device(area), offset, &page) != 0) return 0;
        if (page.start_offset != offset || (at > 0 && page.size != bytes)) return 0;
        bytes = page.size;
    }
    return bytes > 0 && area->fa_size % bytes == 0 ? (uint32_t)bytes : 0;
}

const odt_flash_t *zephyr_flash_open(void)
{
    const struct flash_area *area;
    if (flash_area_open(FIXED_PARTITION_ID(storage_partition), &area) != 0) return NULL;
    if (flash_area_erased_val(area) != 0xff) return NULL;
    flash.block_bytes = page_bytes(area);
    if (flash.block_bytes == 0) return NULL;
    flash.context = (void *)(uintptr_t)area;
    flash.erase = area_erase;
    flash.program_bytes = flash_area_align(area);
    flash.block_count = (uint32_t)area->fa_size / flash.block_bytes;
    return &flash;
}
