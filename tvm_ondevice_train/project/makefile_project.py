"""The projects that one Makefile builds: a program of this computer, or a bare-metal image."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from ..boards import BAUD, Board
from ..c_runtime import runtime_files
from ..files.plain_text import plain
from ..files.render import render
from ..manifest import Manifest

_COMMON_CFLAGS = "-std=c99 -O3 -ffp-contract=off -ffunction-sections -fdata-sections"
# No start files and no system calls: they are ours.
_BAREMETAL_LDFLAGS = "-nostartfiles -T link.ld -Wl,--gc-sections -Wl,-Map=build/map.txt"
_HEADER_BYTES = 48  # ODT_STORE_HEADER_BYTES
_PADDING_BYTES = 4  # at most, after each member of odt_params_t
_DEVICE_PAGE_BYTES = 0x1000  # where an architecture says nothing of its devices: the UART's


def contents(
    files: Mapping[str, str], manifest: Manifest, report: Mapping, board: Board
) -> dict[str, str]:
    """Path -> text of what this platform adds to model, manifest and report."""
    baremetal = manifest.platform == "baremetal"
    transport = manifest.transport
    assert transport is not None, "a manifest says it once a project is generated"
    flash = _flash(board, transport)
    ports = _baremetal_ports(board, transport, flash) if baremetal else ["host_main.c"]
    added = {f"runtime/{path}": text for path, text in runtime_files(ports).items()}
    facts = {
        "model": plain(manifest.model),
        "scheme": plain(manifest.scheme),
        "board": board,
        "model_files": [f"`{name}`" for name in sorted(files)],
        "baremetal": baremetal,
        "stack_bytes": manifest.stack_bytes,
        "image_bytes": board.flash_bytes,
        "store_bytes": 0,
        "sources": sorted(path for path in {**files, **added} if path.endswith(".c")),
        "firmware": "firmware.elf" if baremetal else "firmware",
        "compiler": board.compiler if baremetal else "gcc",
        "cflags": core_cflags(board) if baremetal else _COMMON_CFLAGS,
        "ldflags": _BAREMETAL_LDFLAGS if baremetal else "-Wl,--gc-sections",
        "flash_command": _flash_command(board) if baremetal else None,
    }
    if flash == "nvmc":
        facts |= _divided_flash(manifest, board, report.get("replay_flash_bytes", 0))
    added["Makefile"] = render(__package__, "Makefile", facts)
    added["README.md"] = render(__package__, "README.md", facts)
    if baremetal:
        added["link.ld"] = render(__package__, "link.ld", facts)
        added["board.h"] = _board_header(board, transport)
    return added


def _flash(board: Board, transport: str) -> str:
    """What keeps the learned parameters: the driver in flash_*.c."""
    if transport == "semihosting":
        return "semihosting"
    return board.store["driver"] if board.store else "none"


def _divided_flash(manifest: Manifest, board: Board, replay_bytes: int) -> dict[str, int]:
    """Flash for the program, and behind it whole pages: for two images of odt_store.h, and, in
    whole pages already, for the samples of odt_replay.h that are kept there."""
    image = _HEADER_BYTES + sum(
        entry.nbytes + _PADDING_BYTES for entry in manifest.trained_parameters.values()
    )
    assert board.store is not None and board.flash_bytes is not None, "see _flash"
    page = board.store["page_bytes"]
    pages = 2 * -(-image // page) + replay_bytes // page
    step = 2 << max(0, pages.bit_length() - 4)  # a guard by powers of two needs three at most
    store_bytes = -(-pages // step) * step * page
    whole_bytes = board.flash_bytes // page * page
    return {"image_bytes": whole_bytes - store_bytes, "store_bytes": store_bytes}


def _baremetal_ports(board: Board, transport: str, flash: str) -> list[str]:
    core = board.architecture.name
    ports = ["baremetal_main.c", f"{core}.c", f"link_{transport}.c", f"flash_{flash}.c"]
    return [*ports, f"uart_{_uart(board)['driver']}.c"] if transport == "uart" else ports


def _board_header(board: Board, transport: str) -> str:
    uart, devices = None, (0, 0)
    if transport == "uart":
        uart = _uart(board)
        page = int(uart["base"], 16) & -_DEVICE_PAGE_BYTES
        devices = board.architecture.devices or (page, _DEVICE_PAGE_BYTES)
    facts = {"board": board, "uart": uart, "baud": BAUD, "devices": devices, "literal": _literal}
    return render(__package__, "board.h", facts)


def _uart(board: Board) -> Mapping:
    assert board.uart is not None, "a manifest has no transport that its board lacks"
    return board.uart


def _literal(value: object) -> str:
    """What boards.json says of a driver, in C: a list of lists as their initializers."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, list):
        return ", ".join(f"{{{', '.join(map(_literal, entry))}}}" for entry in value)
    return f"{value}u"


def core_cflags(board: Board) -> str:
    """The flags with which the step is compiled for the board's core."""
    return " ".join([*board.core.cflags, f"--specs={board.architecture.specs}", _COMMON_CFLAGS])


def _flash_command(board: Board) -> str | None:
    if board.flasher is None:
        return None
    return shlex.join(word.replace("{elf}", "build/firmware.elf") for word in board.flasher)
