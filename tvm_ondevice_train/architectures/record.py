"""The form of a record: `Architecture`, with its cores and how its machine code is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Core:
    """A CPU as boards.json names it.

    cflags : what the compiler is told of it.
    fpu, dsp, mve : which units it has.
    exception_bytes : what it pushes onto the stack by itself at a fault.
    """

    cflags: tuple[str, ...]
    fpu: bool = False
    dsp: bool = False
    mve: bool = False
    exception_bytes: int = 0


@dataclass(frozen=True)
class MachineCode:
    """How instructions are read, as objdump prints them: "mnemonic operands".

    The patterns are matched from the mnemonic on.

    jump : what goes to the function that is named between < and >.
    last : what stands behind these is reached in another way.
    by_pointer : a call whose target is not known.
    variable : what lowers the stack pointer by an amount that is not known.
    pushed : instruction -> by how many bytes it lowers the stack pointer.
    relocations : the numbers of those that take no address: of jumps, and what only helps the
        linker.
    """

    jump: re.Pattern
    last: re.Pattern
    by_pointer: re.Pattern
    variable: re.Pattern
    pushed: Callable[[str], int]
    relocations: frozenset[int]


@dataclass(frozen=True)
class Architecture:
    """All that a project, its build, its emulator and its stack's bound differ in.

    name : of its module here and of its files in runtime/c/port.
    prefix : of the names of compiler and binutils.
    specs : gcc's name of the C library, for memcpy and its like.
    emulator, emulator_options : the QEMU that runs it, with what every machine there needs.
    packages : program -> the Debian packages that bring it.
    cores : its CPUs by the names that boards.json uses.
    fault_handler : the function of its port that the core calls at a fault.
    machine_code : how it is read.
    devices : start and size of where all its CPUs have their devices; None where a board's are
        known only one by one.
    linker_sections : sections of link.ld that only its compiler makes.
    """

    name: str
    prefix: str
    specs: str
    emulator: str
    packages: Mapping[str, str] = field(hash=False)
    cores: Mapping[str, Core] = field(hash=False)
    fault_handler: str
    machine_code: MachineCode
    emulator_options: tuple[str, ...] = ()
    devices: tuple[int, int] | None = None
    linker_sections: tuple[str, ...] = ()

    @property
    def compiler(self) -> str:
        return f"{self.prefix}gcc"

    @property
    def objdump(self) -> str:
        return f"{self.prefix}objdump"
