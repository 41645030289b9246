/*
 * The Cortex-M from M0 to M55: reset, MPU, faults, cycle counter.
 */
#include "cortex_m.h"

#include "board.h"
#include "link.h"
#include "machine.h"

#define REGISTER(address) (*(volatile uint32_t *)(uintptr_t)(address))
#define CPUID REGISTER(0xe000ed00)
#define VTOR REGISTER(0xe000ed08)
#define CCR REGISTER(0xe000ed14)
#define SHCSR REGISTER(0xe000ed24) /* which faults have a handler of their own */
#define CFSR REGISTER(0xe000ed28)  /* why a fault happened */
#define MMFAR REGISTER(0xe000ed34) /* the address of a MemManage fault */
#define BFAR REGISTER(0xe000ed38)  /* the address of a BusFault */
#define CLIDR REGISTER(0xe000ed78) /* which caches there are */
#define CCSIDR REGISTER(0xe000ed80)
#define CSSELR REGISTER(0xe000ed84)
#define ICIALLU REGISTER(0xe000ef50)
#define DCISW REGISTER(0xe000ef60)
#define MPU_TYPE REGISTER(0xe000ed90) /* how many regions there are; 0 without an MPU */
#define MPU_CTRL REGISTER(0xe000ed94)
#define MPU_RNR REGISTER(0xe000ed98)
#define MPU_RBAR REGISTER(0xe000ed9c)
#define MPU_RASR REGISTER(0xe000eda0) /* MPU_RLAR on Armv8-M */
#define MPU_MAIR0 REGISTER(0xe000edc0)
#define DEMCR REGISTER(0xe000edfc)
#define DWT_CTRL REGISTER(0xe0001000)
#define DWT_CYCCNT REGISTER(0xe0001004)
#define DWT_LAR REGISTER(0xe0001fb0) /* a lock that the M7 has before its DWT */

void odt_reset(void);

#if __ARM_ARCH >= 7

static void barrier(void)
{
    __asm__ volatile("dsb\n isb" ::: "memory");
}

uint32_t machine_cycles(void)
{
    return DWT_CYCCNT;
}

static uint32_t address_of(const uint32_t *symbol)
{
    return (uint32_t)(uintptr_t)symbol;
}

#if __ARM_ARCH >= 8

enum kind { CODE, DATA, DEVICE };

static void open_region(uint32_t number, uint32_t start, uint32_t end, enum kind kind)
{
    if (start == end) return;
    MPU_RNR = number;
    MPU_RBAR = start | (kind == CODE ? 6u : 1u); /* read-only, or read-write and never execute */
    MPU_RASR = ((end - 1u) & ~31u) | (kind == DEVICE ? 3u : 1u); /* attribute 1 or 0, enabled */
}

static void open_memory(void)
{
    MPU_MAIR0 = 0x04ff; /* attribute 0: normal memory, write-back; 1: device */
    open_region(0, address_of(odt_flash_start), address_of(odt_flash_end), CODE);
    open_region(1, address_of(odt_store_start), address_of(odt_store_end), DATA);
    open_region(2, address_of(odt_ram_start), address_of(odt_ram_end), DATA);
    open_region(3, BOARD_DEVICES_START, BOARD_DEVICES_START + BOARD_DEVICES_BYTES, DEVICE);
}

#else

/* MPU_RASR: who may do what, and what memory it is. */
#define CODE 0x060b0000u   /* read-only; normal, write-back */
#define DATA 0x130b0000u   /* read-write, never execute; normal, write-back */
#define DEVICE 0x13050000u /* read-write, never execute; device */

/* Opens the first `eighths` eighths of a region of 1 << log2_size bytes; the next number. */
static uint32_t open_region(uint32_t number, uint32_t start, uint32_t log2_size, uint32_t eighths,
                            uint32_t kind)
{
    const uint32_t closed = 0xff00u & (0xff00u << eighths);
    MPU_RNR = number;
    MPU_RBAR = start;
    MPU_RASR = kind | closed | (log2_size - 1u) << 1 | 1u;
    return number + 1;
}

static uint32_t log2_above(uint32_t bytes)
{
    uint32_t log2_size = 8;
    while (1u << log2_size < bytes) log2_size++;
    return log2_size;
}

/* A region is a power of two with its own size as alignment, divided into eight. Memory is opened
 * in as many whole eighths as fit, then the rest of it in eighths of one eighth, and so on; what
 * is left below 256 bytes cannot be divided and opens whole. Six regions at most reach 4 MB. */
static uint32_t open_exactly(uint32_t number, uint32_t start, uint32_t end)
{
    uint32_t log2_size = log2_above(end - start);
    for (; start < end && log2_size >= 8; log2_size -= 3) {
        const uint32_t eighths = (end - start) >> (log2_size - 3);
        if (eighths > 0) number = open_region(number, start, log2_size, eighths, DATA);
        start += eighths << (log2_size - 3);
    }
    return start < end ? open_region(number, start, log2_size, 8, DATA) : number;
}

/* For a start that is no multiple of a power of two above the size: the largest region that may
 * begin there, then the next; link.ld keeps it to three. */
static uint32_t open_pages(uint32_t number, uint32_t start, uint32_t end)
{
    while (start < end) {
        uint32_t log2_size = 5;
        while (start % (2u << log2_size) == 0 && end - start >= 2u << log2_size) log2_size++;
        number = open_region(number, start, log2_size, 8, DATA);
        start += 1u << log2_size;
    }
    return number;
}

/* Where regions overlap, the one with the higher number counts. */
static void open_memory(void)
{
    const uint32_t flash = address_of(odt_flash_start), ram = address_of(odt_ram_start);
    const uint32_t store = address_of(odt_store_start), store_end = address_of(odt_store_end);
    uint32_t number = open_region(0, flash, log2_above(address_of(odt_flash_end) - flash), 8, CODE);
    number = open_exactly(number, ram, address_of(odt_ram_end));
    number = open_pages(number, store, store_end);
    if (BOARD_DEVICES_BYTES > 0)
        open_region(number, BOARD_DEVICES_START, log2_above(BOARD_DEVICES_BYTES), 8, DEVICE);
}

#endif

void machine_guard(void)
{
    if (MPU_TYPE == 0) return;
    open_memory();
    MPU_CTRL = 1; /* on, with nothing open beside the regions above and the core's own registers */
    barrier();
}

/* The Cortex-M7 starts with its caches off and full of noise. */
static void start_caches(void)
{
    uint32_t sets, ways;
    if ((CPUID & 0xfff0u) != 0xc270u || CLIDR == 0) return;
    CSSELR = 0; /* the data cache */
    barrier();
    sets = CCSIDR >> 13 & 0x7fffu; /* less one, both */
    ways = CCSIDR >> 3 & 0x3ffu;
    for (uint32_t set = 0; set <= sets; set++)
        for (uint32_t way = 0; way <= ways; way++) DCISW = set << 5 | way << 30;
    ICIALLU = 0;
    barrier();
    CCR |= 0x30000u; /* both on */
    barrier();
}

extern const struct vectors odt_vectors;

void machine_prepare(void)
{
    VTOR = (uint32_t)(uintptr_t)&odt_vectors;
    SHCSR |= 0x70000u; /* MemManage, BusFault and UsageFault do not become a HardFault */
    DEMCR |= 0x1000000u; /* the DWT is on */
    DWT_LAR = 0xc5acce55u;
    DWT_CTRL |= 1u; /* and counts cycles */
    start_caches();
}

/* Why a fault happened, as far as the core can tell. */
static void print_cause(uint32_t exception)
{
    const uint32_t cause = CFSR;
    const uint32_t address = cause & 0x8000u ? BFAR : MMFAR;
    if (cause & 0x8080u) {
        link_print(" at address ");
        machine_print_hex(address);
    }
    if (cause & 0x30u)
        link_print(": stack overflow"); /* the core could not push its registers */
    else if (exception == 4 && cause & 0x80u)
        link_print(machine_explain(address));
    link_print(" (CFSR ");
    machine_print_hex(cause);
    link_print(")");
}

#else /* Armv6-M has no MPU here, one kind of fault without a reason, and no cycle counter. */

uint32_t machine_cycles(void)
{
    return 0;
}

void machine_guard(void)
{
}

void machine_prepare(void)
{
}

static void print_cause(uint32_t exception)
{
    (void)exception;
}

#endif

/* Says which fault it was and ends the program. */
__attribute__((used, noreturn)) static void report_fault(void)
{
    static const char *const names[] = {"NMI", "HardFault", "MemManage", "BusFault", "UsageFault"};
    uint32_t exception;
    __asm__ volatile("mrs %0, ipsr" : "=r"(exception));

    link_print("odt: ");
    link_print(exception >= 2 && exception <= 6 ? names[exception - 2] : "exception");
    print_cause(exception);
    link_print("\n");
    link_end(MACHINE_FAULT_STATUS);
}

/* A fault may come from the stack itself, so its handler begins with a fresh one. */
__attribute__((naked)) static void fault_handler(void)
{
    __asm__ volatile("ldr r0, =odt_stack_top\n"
                     "msr msp, r0\n"
                     "bl report_fault\n"
                     ".ltorg");
}

/* The FPU comes first: the compiler may use its registers anywhere in C. */
__attribute__((naked)) void odt_reset(void)
{
    __asm__ volatile("ldr r0, =0xe000ed88\n" /* CPACR: full access to CP10 and CP11 */
                     "ldr r1, [r0]\n"
                     "ldr r2, =0xf00000\n"
                     "orr r1, r2\n" /* no immediate: also for an M0, which ignores it */
                     "str r1, [r0]\n"
                     "dsb\n"
                     "isb\n"
                     "bl machine_start\n"
                     ".ltorg");
}

/* The first sixteen entries; no interrupt is ever enabled. */
struct vectors {
    const void *stack;
    void (*handlers[15])(void);
};
extern const struct vectors odt_vectors;
__attribute__((section(".vectors"))) const struct vectors odt_vectors = {
    odt_stack_top,
    {odt_reset, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler,
     fault_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler,
     fault_handler, fault_handler, fault_handler},
};
