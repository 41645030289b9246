"""Build a project that is a Zephyr application, as `west build` does, in the same folder."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..boards import Board
from ..errors import OdtError
from .toolchain import run_tool

_SLASHES_SINCE = (3, 7)  # the version whose board names have slashes
# What the tools say -> what it means; \1 is what the parentheses found. The first that is found.
_TELLING = (
    (
        r"ModuleNotFoundError: No module named '(.+)'",
        r"Zephyr's scripts lack the Python module \1: activate the environment that Zephyr was set "
        r"up in, or pip install -r $ZEPHYR_BASE/scripts/requirements-base.txt",
    ),
    (r"No board named '(.+)' found", r"the Zephyr in ZEPHYR_BASE has no board \1"),
    (
        r'provided by\s+"?Zephyr-sdk|unable to find the toolchain',
        r"no compiler for Zephyr: install its SDK, or with the distribution's set "
        r"ZEPHYR_TOOLCHAIN_VARIANT=gnuarmemb and GNUARMEMB_TOOLCHAIN_PATH=/usr",
    ),
    (r'static assertion failed: "(.+)"', r"\1"),
    (r": odt: (.+)", r"\1"),  # of the linker
    (r"devicetree error: (.+)", r"\1"),
    (r"warning: (.+)\n\n+error: Aborting", r"\1"),  # of Kconfig
    (r"CMake Error at .+:\n((?: +\S.*\n)+)", r"\1"),
)


def build_zephyr(directory: Path, board: Board, extra: str = "") -> str:
    """Configure where that was not done yet, and build; "" or what the tools said on failure.

    What `west build` left is built on; a first time needs ZEPHYR_BASE, the folder of Zephyr
    itself, and OdtError says so.
    """
    folder = directory / "build"
    configured = all((folder / name).exists() for name in ("CMakeCache.txt", "build.ninja"))
    if configured:
        _check_board(folder, board)
    else:  # what a failed try left may name a board or a compiler that is not there
        (folder / "CMakeCache.txt").unlink(missing_ok=True)
    if extra or not configured:
        base = _base()
        name = f"-DBOARD={board_name(board, base)}"
        flags = f"-DEXTRA_CFLAGS={extra}"
        source = ["-S", str(directory), "-B", str(folder)]
        result = run_tool(["cmake", "-GNinja", name, flags, *source])
        if result.returncode:
            return _message(result.stderr)
    result = run_tool(["cmake", "--build", str(folder)])
    return _message(result.stdout + result.stderr) if result.returncode else ""


def zephyr_program(directory: Path, board: Board) -> Path:
    """What `build_zephyr` makes: a process of this computer, or the ELF file for a board."""
    return directory / "build" / "zephyr" / ("zephyr.exe" if board.is_host else "zephyr.elf")


def board_name(board: Board, base: Path) -> str:
    """What the Zephyr in `base` calls `board`."""
    old, new = board.zephyr_names
    return new if _version(base) >= _SLASHES_SINCE else old


def _check_board(folder: Path, board: Board) -> None:
    """Refuse what `west build` made for another board than the project's."""
    text = (folder / "CMakeCache.txt").read_text()
    found = re.search(r"^CACHED_BOARD:\w+=([^\s@]+)", text, re.M)
    if found and found[1] not in board.zephyr_names:
        raise OdtError(
            f"build: {folder} is for {found[1]}, the project for {board.name}: remove {folder}, or "
            f"run what is on that board with --port"
        )


def _message(text: str) -> str:
    """`text`, or the one line in it that says more than its first error."""
    for pattern, meaning in _TELLING:
        if found := re.search(pattern, text):
            return "error: " + " ".join(found.expand(meaning).split())
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
        major, minor = (
            re.findall(rf"^VERSION_{part} *= *(\d+)", text, re.M)[0] for part in ("MAJOR", "MINOR")
        )
        return int(major), int(minor)
    except (OSError, IndexError):
        raise OdtError(f"build: ZEPHYR_BASE is {base}, which is not the folder of Zephyr") from None
