"""Zephyr applications around the hand-written model, and what Kconfig makes of them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import kconfiglib
from fake_project import FILES, MANIFEST

from tvm_ondevice_train.boards import board as find_board
from tvm_ondevice_train.boards import boards
from tvm_ondevice_train.project import generate_project

STUB = Path(__file__).with_name("zephyr_stub")
BOARDS = [row.name for row in boards() if "zephyr" in row.platforms]
STACK_BYTES = 2048
SIZES = {"arena_bytes": 4096, "trainable_state_bytes": 2616, "flash_bytes": 20_000}


def zephyr_project(directory: Path, board: str) -> Path:
    """Write the application for `board` and return its directory."""
    manifest = replace(MANIFEST, stack_bytes=STACK_BYTES)
    return generate_project(FILES, manifest, find_board(board), "zephyr", directory, report=SIZES)


def configured(application: Path, board: str, **more: str) -> dict[str, str]:
    """Every symbol's value, CONFIG_ left out, as Zephyr's Kconfig would find it with `more` set.

    Raises what kconfiglib raises, and AssertionError for its warnings.
    """
    row = find_board(board)
    project = application.parent if application.name == "test" else application
    environment = {
        "srctree": str(STUB),
        "MODULE": str(project / "runtime"),
        "POSIX": "y" if row.is_host else "n",
        "ARM": "n" if row.is_host else "y",
        "STORAGE": "y" if row.is_host or row.store else "n",
    }
    with patch.dict(os.environ, environment):
        kconfig = application / "Kconfig"
        tree = kconfiglib.Kconfig(
            str(kconfig if kconfig.exists() else STUB / "Kconfig.zephyr"), warn_to_stderr=False
        )
        tree.warn_assign_undef = True
        for file in (application / "prj.conf", *_for_board(application, row)):
            tree.load_config(str(file), replace=False)
        for name, value in more.items():
            tree.syms[name].set_value(value)
    assert not tree.warnings, tree.warnings[0]
    for symbol in tree.unique_defined_syms if not more else ():  # what was set is what it became
        wanted = symbol.user_value
        wanted = kconfiglib.TRI_TO_STR[wanted] if isinstance(wanted, int) else wanted
        assert wanted in (None, symbol.str_value), symbol.name
    return {symbol.name: symbol.str_value for symbol in tree.unique_defined_syms}


def _for_board(application: Path, row) -> list[Path]:
    name = row.zephyr["3.5"].replace("/", "_")
    return [path for path in [application / "boards" / f"{name}.conf"] if path.exists()]
