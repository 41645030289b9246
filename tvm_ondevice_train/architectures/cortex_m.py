"""Arm's Cortex-M: Armv6-M to Armv8.1-M."""

from __future__ import annotations

import re

from .record import Architecture, Core, MachineCode

_WORD = 4
_PUSHED_WORDS = 9  # r0-r3, r12, lr, pc, xpsr and a word to align them
_PUSHED_BY_FPU_WORDS = 18  # s0-s15, fpscr and a spare word
_UNWINDING = ".ARM.exidx : { *(.ARM.exidx .ARM.exidx.* .ARM.extab .ARM.extab.*) } > FLASH"
_PUSH = re.compile(r"v?(?:push|stmdb)\S* (?:sp!, )?{(.*)}")
_STORE = re.compile(r"v?str\S* .*\[sp, #-(\d+)\]!")
_LOWER = re.compile(r"sub\S* sp, (?:sp, )?#(\d+)")


def _core(cpu: str, *cflags: str, fpu: bool = False, dsp: bool = False, mve: bool = False) -> Core:
    pushed = _PUSHED_WORDS + (_PUSHED_BY_FPU_WORDS if fpu else 0)
    return Core((f"-mcpu={cpu}", "-mthumb", *cflags), fpu, dsp, mve, _WORD * pushed)


def _pushed(text: str) -> int:
    if match := _PUSH.match(text):
        return sum(map(_register_bytes, match[1].split(", ")))
    if match := _STORE.match(text) or _LOWER.match(text):
        return int(match[1])
    return 0


def _register_bytes(text: str) -> int:
    """Of an entry of a list of registers: r4, s16-s31, d8-d9."""
    numbers = [int(number) for number in re.findall(r"\d+", text)] or [0]
    return (numbers[-1] - numbers[0] + 1) * _WORD * (2 if text.startswith("d") else 1)


RECORD = Architecture(
    name="cortex_m",
    prefix="arm-none-eabi-",
    specs="nano.specs",
    emulator="qemu-system-arm",
    packages={
        "arm-none-eabi-gcc": "gcc-arm-none-eabi libnewlib-arm-none-eabi",
        "arm-none-eabi-objdump": "binutils-arm-none-eabi",
        "qemu-system-arm": "qemu-system-arm",
    },
    cores={
        "cortex-m0": _core("cortex-m0"),
        "cortex-m3": _core("cortex-m3"),
        "cortex-m4": _core(
            "cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard", fpu=True, dsp=True
        ),
        "cortex-m7": _core("cortex-m7", "-mfpu=fpv5-d16", "-mfloat-abi=hard", fpu=True, dsp=True),
        "cortex-m7+nofp.dp": _core(
            "cortex-m7", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard", fpu=True, dsp=True
        ),
        "cortex-m33": _core(
            "cortex-m33", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard", fpu=True, dsp=True
        ),
        "cortex-m33+nodsp+nofp": _core("cortex-m33+nodsp", "-mfloat-abi=soft"),
        # Without the vector float instructions: they flush denormal numbers to zero, which no
        # other board does, and compilers use them unasked.
        "cortex-m55": _core(
            "cortex-m55+nomve.fp", "-mfloat-abi=hard", fpu=True, dsp=True, mve=True
        ),
    },
    fault_handler="report_fault",
    machine_code=MachineCode(
        jump=re.compile(r"(bl?x?|b(eq|ne|cs|cc|mi|pl|vs|vc|hi|ls|ge|lt|gt|le)|cbn?z)(\.[nw])? "),
        last=re.compile(r"(b(\.[nw])?|bx)( |$)|(pop|ldm).*\bpc}|(ldr|mov)\S* pc,"),
        by_pointer=re.compile(r"blx [^<]*$"),
        variable=re.compile(r"(sub|add)\S* sp, (sp, )?(?!sp)[a-z]"),
        pushed=_pushed,
        relocations=frozenset({10, 28, 29, 30, 40, 51, 102, 103}),
    ),
    devices=(0x40000000, 0x20000000),
    linker_sections=(_UNWINDING,),
)
