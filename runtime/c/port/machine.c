#include "machine.h"

#include "board.h"
#include "link.h"

#define PAINT 0xa5a5a5a5u
#define STACK_WINDOW 0x10000u    /* a fault this close below the stack is its overflow */
#define MEMORY_WINDOW 0x1000000u /* one this far above the start of RAM was meant for RAM */

extern uint32_t odt_data_load[], odt_data_start[], odt_data_end[];
extern uint32_t odt_bss_start[], odt_bss_end[];

int main(void);

static uint32_t bytes_between(const uint32_t *start, const uint32_t *end)
{
    return (uint32_t)((uintptr_t)end - (uintptr_t)start);
}

uint32_t machine_stack_reserved(void)
{
    return bytes_between(odt_stack_bottom, odt_stack_top);
}

uint32_t machine_stack_used(void)
{
    const volatile uint32_t *word = odt_stack_bottom;
    while ((uintptr_t)word < (uintptr_t)odt_stack_top && *word == PAINT) word++;
    return (uint32_t)((uintptr_t)odt_stack_top - (uintptr_t)word);
}

uint32_t machine_static_bytes(void)
{
    return bytes_between(odt_data_start, odt_data_end) + bytes_between(odt_bss_start, odt_bss_end);
}

void machine_start(void)
{
    const uint32_t *load = odt_data_load;
    volatile uint32_t *word;
    const uintptr_t stack_pointer = core_stack_pointer();

    for (word = odt_stack_bottom; (uintptr_t)word < stack_pointer; word++) *word = PAINT;
    for (word = odt_data_start; (uintptr_t)word < (uintptr_t)odt_data_end; word++) *word = *load++;
    for (word = odt_bss_start; (uintptr_t)word < (uintptr_t)odt_bss_end; word++) *word = 0;
    machine_prepare();
    link_end(main());
}

const char *machine_explain(uint32_t address)
{
    const uint32_t stack = (uint32_t)(uintptr_t)odt_stack_bottom;
    const uint32_t flash = (uint32_t)(uintptr_t)odt_flash_start;
    if (stack - address <= STACK_WINDOW) return ": stack overflow";
    if (address - stack < MEMORY_WINDOW) return ": beyond the SRAM budget";
    if (address - flash < bytes_between(odt_flash_start, odt_flash_end)) return ": write to flash";
    return ": outside flash and SRAM";
}

void machine_print_hex(uint32_t value)
{
    char text[11] = "0x00000000";
    for (int i = 9; i >= 2; i--, value >>= 4) text[i] = "0123456789abcdef"[value & 15u];
    link_print(text);
}
