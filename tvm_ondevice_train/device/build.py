"""Build a project with its own Makefile or with Zephyr, and account for what came out."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..boards import board as find_board
from ..errors import BudgetError, OdtError
from ..manifest import read_manifest
from .machine_code import symbols_in
from .toolchain import find_tool, run_tool
from .zephyr import build_zephyr, zephyr_program

if TYPE_CHECKING:
    from elftools.elf.elffile import ELFFile
    from elftools.elf.sections import Section, Symbol

_OVERFLOW = re.compile(r"region [`'](\w+)' overflowed by (\d+) bytes")  # the linker's words


@dataclass(frozen=True)
class Sizes:
    """What an ELF file occupies, in bytes.

    `flash_bytes` counts code, constants and the initial values of data. RAM is arena, state
    (odt_t: trained parameters and generator), `other_bytes` of static data, and the reserved stack.
    """

    flash_bytes: int
    arena_bytes: int
    state_bytes: int
    other_bytes: int
    stack_bytes: int


def build(directory: str | Path, extra: str = "") -> Path:
    """Build the project in `directory` and return its program, an ELF file.

    `extra` are more compiler flags, for what is not built yet. OdtError says in one line what a
    compiler or linker refused; a program too large for its board is one such case.
    """
    directory = Path(directory)
    manifest = read_manifest(directory)
    board = find_board(manifest.board)
    if manifest.platform == "zephyr":
        if complaint := build_zephyr(directory, board, extra):
            raise OdtError(f"build: {reason(complaint, board.name)}")
        return zephyr_program(directory, board)
    baremetal = manifest.platform == "baremetal"
    find_tool(board.compiler if baremetal else "gcc")
    result = run_tool(["make", "-s", "-C", str(directory), f"EXTRA={extra}"])
    if result.returncode:
        complaint = result.stderr or result.stdout
        kind = BudgetError if _OVERFLOW.search(complaint) else OdtError
        raise kind(f"build: {reason(complaint, board.name)}")
    program = directory / "build" / ("firmware.elf" if baremetal else "firmware")
    if not program.exists():
        raise OdtError(
            f"build: the Makefile in {directory} makes no {program.name}, the program of platform "
            f"{manifest.platform}; compile the project again"
        )
    return program


def reason(text: str, board: str) -> str:
    """The one line that matters of what make, compiler and linker printed."""
    overflows = _OVERFLOW.findall(text)
    if overflows:
        names = {"RAM": "SRAM", "FLASH": "flash"}  # the regions of link.ld
        parts = [f"{names[region]} by {amount} bytes" for region, amount in overflows]
        return (
            f"the program exceeds the budget of {board}: {' and '.join(parts)}; use a smaller "
            f"scheme or model, or a larger budget"
        )
    lines = text.strip().splitlines() or ["make failed without a message"]
    causes = [line for line in lines if not line.startswith("make")] or lines
    return next((line for line in causes if re.search(r"\b(error|undefined)\b", line)), causes[-1])


def sizes(elf: str | Path) -> Sizes:
    """Account for a bare-metal ELF file that `build` made."""
    from elftools.elf.elffile import ELFFile

    with open(elf, "rb") as file:
        image = ELFFile(file)
        sections = {section.name: section for section in _loaded(image)}
        state = _symbol(image, "odt_state")["st_size"]
    static = sum(sections[name]["sh_size"] for name in (".data", ".bss") if name in sections)
    return Sizes(
        flash_bytes=flash_bytes(elf),
        arena_bytes=sections[".arena"]["sh_size"],
        state_bytes=state,
        other_bytes=static - state,
        stack_bytes=sections[".stack"]["sh_size"],
    )


def flash_bytes(elf: str | Path) -> int:
    """Code, constants and the initial values of data in an ELF file for a board, in bytes."""
    from elftools.elf.elffile import ELFFile

    with open(elf, "rb") as file:
        loaded = _loaded(ELFFile(file))
        return sum(section["sh_size"] for section in loaded if section["sh_type"] != "SHT_NOBITS")


def _loaded(image: ELFFile) -> list[Section]:
    """The sections that have a place in the device's memory."""
    return [section for section in image.iter_sections() if section["sh_flags"] & 2]  # SHF_ALLOC


def symbol_address(elf: str | Path, name: str) -> int:
    """The address of function `name`, without the Thumb bit."""
    from elftools.elf.elffile import ELFFile

    with open(elf, "rb") as file:
        return _symbol(ELFFile(file), name)["st_value"] & ~1


def function_addresses(elf: str | Path, names: Collection[str]) -> dict[int, str]:
    """Address, without the Thumb bit -> which of the functions `names` begins there.

    A function of which the compiler made several copies has as many addresses. OdtError if one has
    none, since the compiler built it into its callers.
    """
    from elftools.elf.elffile import ELFFile

    with open(elf, "rb") as file:
        symbols = [
            (symbol["st_value"] & ~1, symbol.name.split(".")[0])
            for symbol in symbols_in(ELFFile(file))
            if symbol["st_info"]["type"] == "STT_FUNC"
        ]
    found = {address: name for address, name in symbols if name in names}
    missing = sorted(set(names) - set(found.values()))
    if missing:
        raise OdtError(f"build: the program has no function {missing[0]}; was it inlined?")
    return found


def _symbol(image: ELFFile, name: str) -> Symbol:
    found = next((s for s in symbols_in(image) if s.name.split(".")[0] == name), None)
    if found is None:
        raise OdtError(f"build: the program has no symbol {name}; was it built by this project?")
    return found
