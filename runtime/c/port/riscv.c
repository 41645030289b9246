/*
 * RISC-V in machine mode: reset, physical memory protection, traps, cycle counter.
 */
#include "riscv.h"

#include "board.h"
#include "link.h"
#include "machine.h"

#define READ_CSR(name, value) __asm__ volatile("csrr %0, " name : "=r"(value))
#define WRITE_CSR(name, value) __asm__ volatile("csrw " name ", %0" : : "r"(value) : "memory")

/* A byte of pmpcfg; every entry is locked, which is what makes it hold in machine mode. */
#define LOCKED 0x80u
#define RANGE 0x08u  /* from the address of the entry before up to this one's */
#define NATURAL 0x18u /* a power of two with its own size as alignment */
#define READ 1u
#define WRITE 2u
#define EXECUTE 4u

__asm__(".option arch, +zicsr"); /* the compiler's -march leaves it out, as its libraries do */

void odt_reset(void);

uint32_t machine_cycles(void)
{
    uint32_t cycles;
    READ_CSR("mcycle", cycles);
    return cycles;
}

void machine_prepare(void)
{
}

/* Of the entries that match an address the first counts: 1 flash, 3 RAM, 4 devices, 5 all else. */
void machine_guard(void)
{
    const uint32_t devices = BOARD_DEVICES_BYTES > 0 ? LOCKED | NATURAL | READ | WRITE : 0;
    WRITE_CSR("pmpaddr0", (uint32_t)(uintptr_t)odt_flash_start >> 2);
    WRITE_CSR("pmpaddr1", (uint32_t)(uintptr_t)odt_flash_end >> 2);
    WRITE_CSR("pmpaddr2", (uint32_t)(uintptr_t)odt_ram_start >> 2);
    WRITE_CSR("pmpaddr3", (uint32_t)(uintptr_t)odt_ram_end >> 2);
    WRITE_CSR("pmpaddr4", (BOARD_DEVICES_START + BOARD_DEVICES_BYTES / 2u - 1u) >> 2);
    WRITE_CSR("pmpaddr5", 0xffffffffu);
    WRITE_CSR("pmpcfg0", (LOCKED | RANGE | READ | WRITE) << 24 |
                             (LOCKED | RANGE | READ | EXECUTE) << 8);
    WRITE_CSR("pmpcfg1", (LOCKED | NATURAL) << 8 | devices);
}

/* Says which trap it was and ends the program. */
__attribute__((used, noreturn)) static void report_trap(void)
{
    static const char *const names[] = {
        "misaligned jump", "fetch fault", "illegal instruction", "breakpoint",
        "misaligned load", "load fault", "misaligned store", "store fault"};
    uint32_t cause, value;
    READ_CSR("mcause", cause);
    READ_CSR("mtval", value);

    link_print("odt: ");
    link_print(cause < sizeof names / sizeof names[0] ? names[cause] : "trap");
    if (cause == 1 || (cause >= 4 && cause <= 7)) {
        link_print(" at address ");
        machine_print_hex(value);
        link_print(machine_explain(value));
    }
    link_print(" (mcause ");
    machine_print_hex(cause);
    link_print(")\n");
    link_end(MACHINE_FAULT_STATUS);
}

/* A trap may come from the stack itself, so its handler begins with a fresh one. */
__attribute__((naked, used, aligned(4))) static void trap_handler(void)
{
    __asm__ volatile("la sp, odt_stack_top\n"
                     "j report_trap");
}

/* Traps first, then the FPU, whose registers the compiler may use anywhere in C. */
__attribute__((naked, section(".vectors"))) void odt_reset(void)
{
    __asm__ volatile("la sp, odt_stack_top\n"
                     "la t0, trap_handler\n"
                     "csrw mtvec, t0\n"
                     "li t0, 0x2000\n" /* mstatus.FS: initial; without an FPU it stays 0 */
                     "csrs mstatus, t0\n"
                     "j machine_start");
}
