"""The hand-written classifier with samples that are kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fake_project import MANIFEST, edited, fake_project

from tvm_ondevice_train.replay import FLASH, POLICIES, Replay


def replaying_project(directory: Path, kept: Replay, board: str = "host", **options) -> Path:
    """A project around it that keeps samples, and what its report must say of them."""
    macros = {
        "SLOTS": f"{kept.slots}u",
        "POLICY": POLICIES.index(kept.policy),
        "IN_FLASH": int(kept.memory == FLASH),
    }
    lines = "".join(f"#define ODT_REPLAY_{name} {value}\n" for name, value in macros.items())
    mark = "#define ODT_TARGET_IS_LABEL 1\n"
    files = edited(model_h=(mark, mark + lines))
    manifest = replace(MANIFEST, replay=kept)
    return fake_project(directory, board, files, manifest, **options)
