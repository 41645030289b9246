"""Build a project that is a Zephyr application, as `west build` does, in the same folder."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..boards import Board
from ..errors import OdtError
from .toolchain import run_tool

_SLASHES_SINCE = (3, 7)  # the version whose board names have slashes
_TELLING = (
    r'static assertion failed: "(.+)"',
    r": odt: (.+)",  # of the linker
    r"warning: (.+)\n\n+error: Aborting",  # of Kconfig
    r"CMake Error at .+:\n((?: +\S.*\n)+)",
)


def build_zephyr(directory: Path, board: Board, extra: str = "") -> str:
    """Configure where that was not done yet, and build; "" or what the tools said on failure.

    What `west build` left is built on; a first time needs ZEPHYR_BASE, the folder of Zephyr
    itself, and OdtError says so.
    """
    folder = directory / "build"
    if extra or not (folder / "build.ninja").exists():
        base = _base()
        name = f"-DBOARD={board_name(board, base)}"
        flags = f"-DEXTRA_CFLAGS={extra}"
        source = ["-S", str(directory), "-B", str(folder)]
        result = run_tool(["cmake", "-GNinja", name, flags, *source])
        if result.returncode:
            (folder / "CMakeCache.txt").unlink(missing_ok=True)  # it may name a missing compiler
            return _message(result.stderr)
    result = run_tool(["cmake", "--build", str(folder)])
    return _message(result.stdout + result.stderr) if result.returncode else ""


def zephyr_program(directory: Path, board: Board) -> Path:
    """What `build_zephyr` makes: a process of this computer, or the ELF file for a board."""
    return directory / "build" / "zephyr" / ("zephyr.exe" if board.is_host else "zephyr.elf")


def board_name(board: Board, base: Path) -> str:
    """What the Zephyr in `base` calls `board`."""
    old, new = board.zephyr.values()
    return new if _version(base) >= _SLASHES_SINCE else old


def _message(text: str) -> str:
    """`text`, or the one line in it that says more than its first error."""
    for pattern in _TELLING:
        if found := re.search(pattern, text):
            return "error: " + " ".join(found[1].split())
    return text


def _base() -> Path:
    base = os.environ.get("ZEPHYR_BASE")
    if not base:
        raise OdtError(
            "build: a Zephyr project needs Zephyr: set ZEPHYR_BASE to its folder, or build the "
            "project with `west build` first"
        )
    return Path(base)


def _version(base: Path) -> tuple[int, int]:
    try:
        text = (base / "VERSION").read_text()
        parts = (
            re.search(rf"^VERSION_{part} *= *(\d+)", text, re.M) for part in ("MAJOR", "MINOR")
        )
        return tuple(int(part[1]) for part in parts)
    except (OSError, TypeError):
        raise OdtError(f"build: ZEPHYR_BASE is {base}, which is not the folder of Zephyr") from None
