"""What machine code says of functions that no compiler accounted for: their frames, their calls.

An upper bound for well-behaved code: everything that a function ever pushes counts, on whatever
path it lies, and no loop pushes.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from ..architectures import Architecture, MachineCode
from ..errors import OdtError
from .toolchain import run_tool

if TYPE_CHECKING:
    from elftools.elf.elffile import ELFFile
    from elftools.elf.sections import Symbol

_INSTRUCTION = re.compile(r" *([0-9a-f]+):\t([^\s.]\S*)\t?(.*)")  # no directive such as .word
_TARGET = re.compile(r"<([^>+]+)")


@dataclass(frozen=True)
class Function:
    """Bytes that a function pushes at most, and whom it may call or run into.

    `problem` says why that is no bound; it is empty where it is one.
    """

    frame_bytes: int
    calls: frozenset[str]
    problem: str


def functions_in(
    program: Path, architecture: Architecture, borders: Collection[str]
) -> dict[str, Function]:
    """Every function of an ELF file by name, as its machine code has it.

    A function reaches as far as the next one that other files see, or that is named in `borders`;
    labels and helpers between them are taken as part of it.
    """
    symbols = function_symbols(program)
    starts = sorted({at for at, name, is_local in symbols if name in borders or not is_local})

    def start_of(address: int) -> int:
        return starts[max(0, bisect_right(starts, address) - 1)]

    names: dict[int | None, list[str]] = defaultdict(list)  # None: behind the last function
    bodies: dict[int | None, list[str]] = defaultdict(list)
    for address, name, _ in symbols:
        names[start_of(address)].append(name)
    for address, text in _instructions(program, architecture.objdump):
        bodies[start_of(address)].append(text)
    found: dict[str, Function] = {}
    for start, behind in pairwise([*starts, None]):
        code = architecture.machine_code
        function = _function(bodies[start], set(names[start]), names[behind][:1], code)
        found |= dict.fromkeys(names[start], function)
    return found


def function_symbols(program: Path) -> list[tuple[int, str, bool]]:
    """Address (without the Thumb bit), name, and whether it is of one file alone."""
    from elftools.elf.elffile import ELFFile

    with open(program, "rb") as file:
        return sorted(
            (symbol["st_value"] & ~1, symbol.name, symbol["st_info"]["bind"] == "STB_LOCAL")
            for symbol in symbols_in(ELFFile(file))
            if symbol["st_info"]["type"] == "STT_FUNC"
        )


def symbols_in(image: ELFFile) -> list[Symbol]:
    """All of an object or a program, by their index."""
    from elftools.elf.sections import SymbolTableSection

    table = image.get_section_by_name(".symtab")
    assert isinstance(table, SymbolTableSection), "no project strips what it builds"
    return list(table.iter_symbols())


def _instructions(program: Path, objdump: str) -> Iterator[tuple[int, str]]:
    """Address and text of each, without the comment but with the name of a jump's target."""
    result = run_tool([objdump, "--disassemble", "--no-show-raw-insn", str(program)])
    if result.returncode:
        raise OdtError(f"stack: {objdump} cannot read {program}: {result.stderr.strip()}")
    for line in result.stdout.splitlines():
        if match := _INSTRUCTION.match(line):
            address, mnemonic, operands = match.groups()
            yield int(address, 16), f"{mnemonic} {operands}".strip()


def _function(
    body: list[str], names: set[str], behind: Iterable[str], code: MachineCode
) -> Function:
    """From its instructions, its own names, and the name of what lies behind it in memory."""
    calls, problem, size = set(), "", 0
    for text in body:
        if code.jump.match(text) and (target := _TARGET.search(text)):
            calls.add(target[1])
        if code.by_pointer.match(text):
            problem = "calls through a pointer"
        if code.variable.match(text):
            problem = "has a frame of variable size"
        size += code.pushed(text)
    last = next((text for text in reversed(body) if not text.startswith("nop")), "")
    if not code.last.match(last):
        calls.update(behind)
    return Function(size, frozenset(calls - names), problem)
