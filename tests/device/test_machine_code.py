"""Frames and calls read from machine code, of assembly whose answer is known."""

import subprocess

import pytest

from tvm_ondevice_train.architectures import RECORDS
from tvm_ondevice_train.device.machine_code import functions_in

ARM, RISCV = "cortex_m", "riscv"
CPUS = {ARM: "cortex-m7", RISCV: "rv32imac"}
HEADS = {
    ARM: """
    .syntax unified
    .macro function name
    .global \\name
    .type \\name, %function
    .thumb_func
\\name:
    .endm
""",
    RISCV: """
    .macro function name
    .global \\name
    .type \\name, @function
\\name:
    .endm
""",
}


def read(name, body, directory, borders=()):
    """The functions of assembly `body`, linked."""
    source, program = directory / "code.S", directory / "code.elf"
    source.write_text(HEADS[name] + body)
    architecture = RECORDS[name]
    command = [architecture.compiler, *architecture.cores[CPUS[name]].cflags, "-nostdlib"]
    command += ["-Wl,-e0", str(source), "-o", str(program)]
    subprocess.run(command, check=True, capture_output=True)
    return functions_in(program, architecture, borders)


@pytest.mark.parametrize(
    ("architecture", "instructions", "size"),
    [
        (ARM, "push {r4, lr}", 8),
        (ARM, "push {r4, r5, r6, r7, lr}", 20),
        (ARM, "stmdb sp!, {r4, r5, r6, r7, r8, r9, sl, fp, lr}", 36),
        (ARM, "push {r0}; vpush {d8-d15}", 68),
        (ARM, "vpush {s16-s18}", 12),
        (ARM, "sub sp, #76", 76),
        (ARM, "sub.w sp, sp, #4096", 4096),
        (ARM, "str lr, [sp, #-8]!", 8),
        (ARM, "strd r4, r5, [sp, #-16]!", 16),
        (ARM, "str r0, [r1, #-8]!; add sp, #8; str r0, [sp, #8]; mov sp, r7", 0),
        (RISCV, "addi sp, sp, -16; sw ra, 12(sp)", 16),
        (RISCV, "addi sp, sp, -2032", 2032),
        (RISCV, "addi sp, sp, 16; addi a0, sp, -16; sub a0, sp, a1", 0),
    ],
)
def test_everything_pushed_counts(architecture, instructions, size, tmp_path):
    (function,) = read(architecture, f"function f\n{instructions}; nop\n", tmp_path).values()
    assert (function.frame_bytes, function.calls, function.problem) == (size, set(), "")


@pytest.mark.parametrize(
    ("architecture", "instructions", "calls"),
    [
        (ARM, "bl far; bx lr", {"far"}),
        (ARM, "b.w far", {"far"}),
        (ARM, "beq.w far; pop {r4, pc}", {"far"}),
        (ARM, "1: cbz r0, 2f; 2: b 1b", set()),
        (ARM, "b f", set()),
        (ARM, "movs r0, #0", {"behind"}),
        (ARM, "ldr r0, [pc, #4]", {"behind"}),
        (ARM, "pop {r1, pc}; nop", set()),
        (ARM, "ldr pc, [r0]", set()),
        (RISCV, "call far; ret", {"far"}),
        (RISCV, "j far", {"far"}),
        (RISCV, "beqz a0, far; ret", {"far"}),
        (RISCV, "j f", set()),
        (RISCV, "li a0, 0", {"behind"}),
    ],
)
def test_whom_a_function_calls_or_runs_into(architecture, instructions, calls, tmp_path):
    body = f"function f\n{instructions}\nfunction behind\nnop\nfunction far\nnop\n"
    assert read(architecture, body, tmp_path)["f"].calls == calls


@pytest.mark.parametrize(
    ("architecture", "instructions", "words"),
    [
        (ARM, "blx r3", "pointer"),
        (ARM, "sub.w sp, sp, r3", "variable"),
        (RISCV, "jalr a5", "pointer"),
        (RISCV, "sub sp, sp, a0", "variable"),
        (RISCV, "li t0, -4096; add sp, sp, t0", "variable"),
    ],
)
def test_what_has_no_bound_is_told(architecture, instructions, words, tmp_path):
    assert words in read(architecture, f"function f\n{instructions}\n", tmp_path)["f"].problem


def test_what_only_its_file_sees_belongs_to_the_function_before_it(tmp_path):
    body = "function f\npush {r4, lr}\nbl helper\npop {r4, pc}\n.type helper, %function\n"
    body += ".thumb_func\nhelper: push {r5, lr}\npop {r5, pc}\nfunction g\nb helper\n"
    found = read(ARM, body, tmp_path)
    assert (found["f"].frame_bytes, found["f"].calls) == (16, set())
    assert (found["helper"], found["g"].calls) == (found["f"], {"helper"})
    apart = read(ARM, body, tmp_path, {"helper"})
    assert [apart[name].frame_bytes for name in ("f", "helper")] == [8, 8]
    assert apart["f"].calls == {"helper"}
