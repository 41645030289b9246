"""A project that is a Zephyr application, with the C runtime as a module of Zephyr."""

from __future__ import annotations

from collections.abc import Mapping

from ..boards import Board
from ..c_runtime import runtime_dir, runtime_files
from ..files.plain_text import plain
from ..files.render import render
from ..manifest import Manifest

# On a thread's stack beside what a step needs: the frame of an interrupt with the FPU's registers,
# and the driver of the flash. Steps on emulated boards used 8 bytes of it, saves another 16.
KERNEL_STACK_BYTES = 512
# Of Zephyr itself, for twister to choose boards by: the most on the ten boards of the table.
ZEPHYR_SRAM_BYTES, ZEPHYR_FLASH_BYTES = 6 * 1024, 24 * 1024
_PORTS = ("zephyr_native.c", "zephyr_server.c", "zephyr_uart.c", "zephyr_yield.h")
_TEXTS = {
    "CMakeLists.txt": "CMakeLists.txt",
    "Kconfig": "Kconfig",
    "README.md": "README.md",
    "prj.conf": "prj.conf",
    "sample.yaml": "sample.yaml",
    "src/main.c": "main.c",
    "test/CMakeLists.txt": "test/CMakeLists.txt",
    "test/prj.conf": "test/prj.conf",
    "test/src/main.c": "test/main.c",
    "test/testcase.yaml": "test/testcase.yaml",
}
_NATIVE_STORE_BYTES = 0x00104000  # from its partition to the end of the simulated flash


def contents(
    _files: Mapping[str, str], manifest: Manifest, report: Mapping, board: Board
) -> dict[str, str]:
    """Path -> text of what this platform adds to model, manifest and report."""
    sram_bytes = report["arena_bytes"]
    if not report.get("state_in_dtcm"):
        sram_bytes += report["trainable_state_bytes"]
    sram_bytes += manifest.stack_bytes + KERNEL_STACK_BYTES + report.get("replay_bytes", 0)
    flash_bytes = report["flash_bytes"] - report.get("zephyr_flash_bytes", 0)
    facts = {
        "model": plain(manifest.model),
        "scheme": plain(manifest.scheme),
        "report": report,
        "board": board,
        "names": list(dict.fromkeys(board.zephyr_names)),
        "stack_bytes": manifest.stack_bytes,
        "kernel_bytes": KERNEL_STACK_BYTES,
        "sram_bytes": sram_bytes,
        "min_ram_kb": _kb(sram_bytes + ZEPHYR_SRAM_BYTES),
        "min_flash_kb": _kb(flash_bytes + ZEPHYR_FLASH_BYTES),
        "state_in_dtcm": report.get("state_in_dtcm", False),
        "store_bytes": _NATIVE_STORE_BYTES,
    }
    added = {path: _rendered(name, facts) for path, name in _TEXTS.items()}
    if board.is_host:
        for name in facts["names"]:
            file = name.replace("/", "_")  # as Zephyr looks for it
            added[f"boards/{file}.conf"] = _rendered("native.conf", facts)
            added[f"boards/{file}.overlay"] = _rendered("native.overlay", facts)
    module = runtime_files(_PORTS) | _module_files()
    return added | {f"runtime/{path}": text for path, text in module.items()}


def _kb(size_bytes: int) -> int:
    return -(-size_bytes // 1024)


def _rendered(name: str, facts: Mapping) -> str:
    return render(__package__, f"zephyr/{name}", dict(facts))


def _module_files() -> dict[str, str]:
    """What makes the runtime a module of Zephyr."""
    root = runtime_dir()
    return {p.relative_to(root).as_posix(): p.read_text() for p in (root / "zephyr").iterdir()}
