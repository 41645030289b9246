"""Models, golden values and data sets that lie beside the checkout, for whoever has them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tvm_ondevice_train.boards import board as find_board

SHARED = Path(__file__).resolve().parents[2] / "shared"

# The micro:bit's core has neither SIMD, nor unaligned access, nor an FPU, and 16 KB of RAM.
CORTEX_M0 = replace(
    find_board("mps2-an386"),
    name="microbit",
    cpu="cortex-m0",
    fpu=False,
    dsp=False,
    cflags=("-mcpu=cortex-m0", "-mthumb"),
    sram_bytes=16384,
    flash_bytes=262144,
    qemu_machine="microbit",
)

needs_models = pytest.mark.skipif(
    not (SHARED / "models").is_dir(), reason="shared/models is missing"
)


def shared_path(relative: str) -> Path:
    """Path of ``../shared/<relative>``; where it is missing the test is skipped.

    .ci/run reads the reason: with ../shared present no test may skip for want of it.
    """
    path = SHARED / relative
    if not path.exists():
        pytest.skip(f"shared/{relative} is missing")
    return path
