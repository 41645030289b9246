"""The hand-written classifier with samples that are kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fake_project import INPUTS, MANIFEST, edited, fake_project

from tvm_ondevice_train.replay import FLASH, POLICIES, STORE_UNIT_BYTES, Replay

MICROBIT_PAGE_BYTES = 1024  # of the only board here that divides its own flash


def replaying_project(directory: Path, kept: Replay, board: str = "host", **options) -> Path:
    """A project around it that keeps samples, with what its report must say of them."""
    macros = {
        "SLOTS": f"{kept.slots}u",
        "POLICY": POLICIES.index(kept.policy),
        "IN_FLASH": int(kept.memory == FLASH),
    }
    lines = "".join(f"#define ODT_REPLAY_{name} {value}\n" for name, value in macros.items())
    mark = "#define ODT_TARGET_IS_LABEL 1\n"
    files = edited(model_h=(mark, mark + lines))
    manifest = replace(MANIFEST, replay=kept)
    flash_bytes = kept.flash_bytes(INPUTS, 4, STORE_UNIT_BYTES, MICROBIT_PAGE_BYTES)
    report = {"replay_flash_bytes": flash_bytes}
    return fake_project(directory, board, files, manifest, report=report, **options)
