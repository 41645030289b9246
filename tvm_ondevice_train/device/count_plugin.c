/*
 * A QEMU plugin that counts the guest instructions between marker functions.
 *
 * Arguments: out=FILE, and for each kind NAME=BEGIN:END, the addresses (hex, even) of its two
 * markers. When the guest ends, FILE holds a line "NAME regions instructions" for each kind.
 *
 * With kernel=ADDRESS for some functions, a line "NAME.INDEX ADDRESS instructions" follows for each
 * call of one of them, in the order of the calls in a region and summed over the regions. A call
 * lasts until the next one or the end of the region, so it holds whatever the function calls; what
 * comes before the first call is in no line. Every region must make the same calls.
 *
 * Every translated block adds its length to one counter, inline, so emulation stays fast. A marker
 * is the target of a call, so it begins a block; there a callback reads the counter. Only the two
 * marker functions themselves are left out. No interrupt ever runs and a fault ends the guest, so
 * a block that has begun is executed whole and the count is exact.
 *
 * Debian ships no qemu-plugin.h: the few declarations below are the plugin interface, version 1.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef struct qemu_info qemu_info_t;
typedef void (*tb_callback)(qemu_plugin_id_t id, struct qemu_plugin_tb *tb);
typedef void (*exec_callback)(unsigned int vcpu, void *data);
typedef void (*exit_callback)(qemu_plugin_id_t id, void *data);
enum { CB_NO_REGS = 0, INLINE_ADD_U64 = 0 };

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, tb_callback callback);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, exec_callback callback,
                                          int flags, void *data);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *tb, int op, void *counter,
                                              uint64_t value);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, exit_callback callback, void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);

__attribute__((visibility("default"))) extern const int qemu_plugin_version;
const int qemu_plugin_version = 1;
__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id,
                                                               const qemu_info_t *info, int argc,
                                                               char **argv);

enum { KINDS = 4, KERNELS = 4096, CALLS = 4096 };

typedef struct call {
    uint64_t kernel; /* address */
    uint64_t instructions;
} call_t;

typedef struct kind {
    char name[32];
    uint64_t begin, end;    /* marker addresses */
    uint64_t started;       /* counter at the last begin */
    uint64_t regions, instructions;
    call_t calls[CALLS];
    int call_count;         /* the most that a region made */
} kind_t;

static kind_t kinds[KINDS];
static uint64_t kernels[KERNELS];
static int kind_count, kernel_count;
static kind_t *active;      /* the kind of the region that the guest is in */
static int next_call;       /* its calls so far */
static uint64_t call_started;
static uint64_t executed;
static char out_path[4096];

static void on_begin(unsigned int vcpu, void *data)
{
    (void)vcpu;
    active = data;
    active->started = executed;
    next_call = 0;
}

static void end_call(void)
{
    if (next_call > 0) active->calls[next_call - 1].instructions += executed - call_started;
}

static void on_kernel(unsigned int vcpu, void *data)
{
    (void)vcpu;
    if (active == NULL || next_call == CALLS) return;
    end_call();
    call_started = executed;
    active->calls[next_call++].kernel = *(const uint64_t *)data;
    if (next_call > active->call_count) active->call_count = next_call;
}

static void on_end(unsigned int vcpu, void *data)
{
    kind_t *kind = data;
    (void)vcpu;
    end_call();
    active = NULL;
    kind->regions++;
    kind->instructions += executed - kind->started;
}

static void on_translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    const uint64_t address = qemu_plugin_tb_vaddr(tb);
    (void)id;
    for (int i = 0; i < kind_count; i++) {
        if (address != kinds[i].begin && address != kinds[i].end) continue;
        qemu_plugin_register_vcpu_tb_exec_cb(tb, address == kinds[i].begin ? on_begin : on_end,
                                             CB_NO_REGS, &kinds[i]);
        return;
    }
    for (int i = 0; i < kernel_count; i++)
        if (address == kernels[i])
            qemu_plugin_register_vcpu_tb_exec_cb(tb, on_kernel, CB_NO_REGS, &kernels[i]);
    qemu_plugin_register_vcpu_tb_exec_inline(tb, INLINE_ADD_U64, &executed,
                                             qemu_plugin_tb_n_insns(tb));
}

static void on_exit(qemu_plugin_id_t id, void *data)
{
    FILE *out = fopen(out_path, "w");
    (void)id;
    (void)data;
    if (out == NULL) return;
    for (const kind_t *kind = kinds; kind < kinds + kind_count; kind++) {
        fprintf(out, "%s %" PRIu64 " %" PRIu64 "\n", kind->name, kind->regions,
                kind->instructions);
        for (int i = 0; i < kind->call_count; i++)
            fprintf(out, "%s.%d %" PRIu64 " %" PRIu64 "\n", kind->name, i, kind->calls[i].kernel,
                    kind->calls[i].instructions);
    }
    fclose(out);
}

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++) {
        kind_t *kind = &kinds[kind_count];
        if (strncmp(argv[i], "out=", 4) == 0) {
            snprintf(out_path, sizeof out_path, "%s", argv[i] + 4);
        } else if (kernel_count < KERNELS &&
                   sscanf(argv[i], "kernel=%" SCNx64, &kernels[kernel_count]) == 1) {
            kernel_count++;
        } else if (kind_count < KINDS && sscanf(argv[i], "%31[^=]=%" SCNx64 ":%" SCNx64, kind->name,
                                            &kind->begin, &kind->end) == 3) {
            kind_count++;
        } else {
            fprintf(stderr, "count_plugin: bad argument %s\n", argv[i]);
            return -1;
        }
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    qemu_plugin_register_atexit_cb(id, on_exit, NULL);
    return 0;
}
