"""RISC-V in 32 bits, in machine mode."""

from __future__ import annotations

import re

from .record import Architecture, Core, MachineCode

_LOWER = re.compile(r"addi? sp,sp,-(\d+)")


def _core(isa: str, abi: str, fpu: bool = False) -> Core:
    return Core((f"-march={isa}", f"-mabi={abi}", "-mcmodel=medany"), fpu)


def _pushed(text: str) -> int:
    match = _LOWER.match(text)
    return int(match[1]) if match else 0


RECORD = Architecture(
    name="riscv",
    prefix="riscv64-unknown-elf-",
    specs="picolibc.specs",
    emulator="qemu-system-riscv32",
    emulator_options=("-bios", "none"),
    packages={
        "riscv64-unknown-elf-gcc": "gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf",
        "riscv64-unknown-elf-objdump": "binutils-riscv64-unknown-elf",
        "qemu-system-riscv32": "qemu-system-misc",
    },
    cores={
        "rv32imac": _core("rv32imac", "ilp32"),
        "rv32imafc": _core("rv32imafc", "ilp32f", fpu=True),
    },
    fault_handler="report_trap",
    machine_code=MachineCode(
        jump=re.compile(r"(j|jal|jalr|b(eq|ne|lt|ge|gt|le)u?z?) "),
        last=re.compile(r"(j|jr|ret)( |$)"),
        by_pointer=re.compile(r"jalr [^<]*$"),
        variable=re.compile(r"(sub|addi?) sp,(sp,)?(?!sp)[a-z]"),
        pushed=_pushed,
        relocations=frozenset({16, 17, 18, 19, 43, 44, 45, 51}),
    ),
)
