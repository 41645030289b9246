#include "cortex_m.h"

#include "semihosting.h"

#define REGISTER(address) (*(volatile uint32_t *)(uintptr_t)(address))
#define SHCSR REGISTER(0xe000ed24) /* which faults have a handler of their own */
#define CFSR REGISTER(0xe000ed28)  /* why a fault happened */
#define MMFAR REGISTER(0xe000ed34) /* the address of a MemManage fault */
#define BFAR REGISTER(0xe000ed38)  /* the address of a BusFault */
#define MPU_TYPE REGISTER(0xe000ed90) /* how many regions there are; 0 without an MPU */
#define MPU_CTRL REGISTER(0xe000ed94)
#define MPU_RNR REGISTER(0xe000ed98)
#define MPU_RBAR REGISTER(0xe000ed9c)
#define MPU_RASR REGISTER(0xe000eda0) /* MPU_RLAR on Armv8-M */
#define MPU_MAIR0 REGISTER(0xe000edc0)

#define PAINT 0xa5a5a5a5u
#define STACK_WINDOW 0x10000u    /* a fault this close below the stack is its overflow */
#define MEMORY_WINDOW 0x1000000u /* one this far above the start of RAM was meant for RAM */

/* Set by link.ld; only their addresses mean anything. */
extern uint32_t odt_flash_start[], odt_flash_end[], odt_ram_start[], odt_ram_end[];
extern uint32_t odt_stack_bottom[], odt_stack_top[];
extern uint32_t odt_data_load[], odt_data_start[], odt_data_end[];
extern uint32_t odt_bss_start[], odt_bss_end[];

int main(void);
void odt_reset(void);

static uint32_t bytes_between(const uint32_t *start, const uint32_t *end)
{
    return (uint32_t)((uintptr_t)end - (uintptr_t)start);
}

uint32_t cortex_m_stack_reserved(void)
{
    return bytes_between(odt_stack_bottom, odt_stack_top);
}

uint32_t cortex_m_stack_used(void)
{
    const volatile uint32_t *word = odt_stack_bottom;
    while ((uintptr_t)word < (uintptr_t)odt_stack_top && *word == PAINT) word++;
    return (uint32_t)((uintptr_t)odt_stack_top - (uintptr_t)word);
}

uint32_t cortex_m_static_bytes(void)
{
    return bytes_between(odt_data_start, odt_data_end) + bytes_between(odt_bss_start, odt_bss_end);
}

#if __ARM_ARCH >= 8

static void open_region(uint32_t number, uint32_t start, uint32_t end, int writable)
{
    MPU_RNR = number;
    MPU_RBAR = start | (writable ? 1u : 6u); /* read-write and never execute, or read-only */
    MPU_RASR = ((end - 1u) & ~31u) | 1u;     /* attribute 0, enabled */
}

static void open_memory(uint32_t flash, uint32_t flash_end, uint32_t ram, uint32_t ram_end)
{
    MPU_MAIR0 = 0xff; /* attribute 0: normal, write-back */
    open_region(0, flash, flash_end, 0);
    open_region(1, ram, ram_end, 1);
}

#else

/* Opens the first `eighths` eighths of a region of 1 << log2_size bytes. */
static void open_region(uint32_t number, uint32_t start, uint32_t log2_size, uint32_t eighths,
                        int writable)
{
    const uint32_t access = writable ? 0x13000000u : 0x06000000u; /* no execute and rw, or ro */
    const uint32_t closed = 0xff00u & (0xff00u << eighths);
    MPU_RNR = number;
    MPU_RBAR = start;
    MPU_RASR = access | 0x000b0000u | closed | (log2_size - 1u) << 1 | 1u;
}

/* A region is a power of two with its own size as alignment, divided into eight. RAM is opened
 * in as many whole eighths as fit, then the rest of it in eighths of one eighth, and so on; what
 * is left below 256 bytes cannot be divided and opens whole. Six regions at most reach 4 MB. */
static void open_memory(uint32_t flash, uint32_t flash_end, uint32_t ram, uint32_t ram_end)
{
    uint32_t log2_size = 8;
    while (1u << log2_size < flash_end - flash) log2_size++;
    open_region(0, flash, log2_size, 8, 0);

    log2_size = 8;
    while (1u << log2_size < ram_end - ram) log2_size++;
    for (uint32_t number = 1; ram < ram_end && log2_size >= 8; number++) {
        const uint32_t eighths = (ram_end - ram) >> (log2_size - 3);
        if (eighths > 0) open_region(number, ram, log2_size, eighths, 1);
        ram += eighths << (log2_size - 3);
        log2_size -= 3;
    }
    if (ram < ram_end) open_region(7, ram, log2_size, 8, 1);
}

#endif

static void start_mpu(void)
{
    if (MPU_TYPE == 0) return;
    open_memory((uint32_t)(uintptr_t)odt_flash_start, (uint32_t)(uintptr_t)odt_flash_end,
                (uint32_t)(uintptr_t)odt_ram_start, (uint32_t)(uintptr_t)odt_ram_end);
    MPU_CTRL = 1; /* on, with nothing open beside the regions above and the core's own registers */
    __asm__ volatile("dsb\n isb" ::: "memory");
}

static void print_hex(uint32_t value)
{
    char text[11] = "0x00000000";
    for (int i = 9; i >= 2; i--, value >>= 4) text[i] = "0123456789abcdef"[value & 15u];
    semihosting_print(text);
}

/* Why a MemManage fault happened, as far as the core can tell. */
static const char *explain(uint32_t cause, uint32_t address)
{
    const uint32_t stack = (uint32_t)(uintptr_t)odt_stack_bottom;
    const uint32_t flash = (uint32_t)(uintptr_t)odt_flash_start;
    if (cause & 0x30u) return ": stack overflow"; /* the core could not push its registers */
    if (!(cause & 0x80u)) return "";              /* no address */
    if (stack - address <= STACK_WINDOW) return ": stack overflow";
    if (address - stack < MEMORY_WINDOW) return ": beyond the SRAM budget";
    if (address - flash < bytes_between(odt_flash_start, odt_flash_end)) return ": write to flash";
    return ": outside flash and SRAM";
}

/* Says which fault it was and ends the emulation. */
__attribute__((used, noreturn)) static void report_fault(void)
{
    static const char *const names[] = {"NMI", "HardFault", "MemManage", "BusFault", "UsageFault"};
    const uint32_t cause = CFSR;
    const uint32_t bus_fault = cause & 0x8000u;
    uint32_t exception;
    __asm__ volatile("mrs %0, ipsr" : "=r"(exception));

    semihosting_print("odt: ");
    semihosting_print(exception >= 2 && exception <= 6 ? names[exception - 2] : "exception");
    if (cause & 0x8080u) {
        semihosting_print(" at address ");
        print_hex(bus_fault ? BFAR : MMFAR);
    }
    semihosting_print(exception == 4 ? explain(cause, MMFAR) : "");
    semihosting_print(" (CFSR ");
    print_hex(cause);
    semihosting_print(")\n");
    semihosting_exit(ODT_FAULT_STATUS);
}

/* A fault may come from the stack itself, so its handler begins with a fresh one. */
__attribute__((naked)) static void fault_handler(void)
{
    __asm__ volatile("ldr r0, =odt_stack_top\n"
                     "msr msp, r0\n"
                     "b report_fault\n"
                     ".ltorg");
}

__attribute__((used, noreturn)) static void start(void)
{
    const uint32_t *load = odt_data_load;
    volatile uint32_t *word;
    uintptr_t stack_pointer;

    __asm__ volatile("mov %0, sp" : "=r"(stack_pointer));
    for (word = odt_stack_bottom; (uintptr_t)word < stack_pointer; word++) *word = PAINT;
    for (word = odt_data_start; word < odt_data_end; word++) *word = *load++;
    for (word = odt_bss_start; word < odt_bss_end; word++) *word = 0;
    SHCSR |= 0x70000u; /* MemManage, BusFault and UsageFault do not become a HardFault */
    start_mpu();
    semihosting_exit(main());
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
                     "b start\n"
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
