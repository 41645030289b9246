"""A project around the hand-written classifier in fake_model/."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tvm_ondevice_train.boards import board as find_board
from tvm_ondevice_train.manifest import Manifest, Target, TrainedParameter
from tvm_ondevice_train.project import generate_project
from tvm_ondevice_train.tensor_spec import TensorSpec

_MODEL = Path(__file__).with_name("fake_model")
INPUTS, CLASSES = 64, 10
FILES = {name: (_MODEL / name).read_text() for name in ("model.c", "model.h")}


def _whole(shape: tuple[int, ...], offset: int) -> TrainedParameter:
    return TrainedParameter(shape, "float32", offset, None, shape, None, None)


MANIFEST = Manifest(
    model="fake",
    model_hash=0x1234ABCD,
    scheme="full",
    board="host",
    loss="cross_entropy",
    classes=CLASSES,
    input=TensorSpec((1, INPUTS), "int8", 1 / 128, 0),
    output_shape=(1, CLASSES),
    target=Target("label", (1,)),
    trained_parameters={
        "weight": _whole((CLASSES, INPUTS), 0),
        "bias": _whole((CLASSES,), CLASSES * INPUTS * 4),
    },
    stack_bytes=8192,
)


def fake_project(directory: Path, board="host", files=FILES, manifest=MANIFEST, **options) -> Path:
    """Write the project for `board` (its name, or "host") and return its directory."""
    row = find_board(board, options.pop("sram_bytes", None), options.pop("flash_bytes", None))
    platform = "host" if row.is_host else "baremetal"
    return generate_project(files, manifest, row, platform, directory, **options)


def edited(**replacements: tuple[str, str]) -> dict[str, str]:
    """FILES with model_c=(old, new) or model_h=(old, new) replaced."""
    files = dict(FILES)
    for key, (old, new) in replacements.items():
        name = key.replace("_", ".")
        assert old in files[name]
        files[name] = files[name].replace(old, new)
    return files


def samples(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Separable int8 samples (count, 64) and their labels (count,)."""
    centers = np.random.default_rng(99).normal(0, 40, (CLASSES, INPUTS))
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, CLASSES, count)
    noisy = centers[labels] + generator.normal(0, 25, (count, INPUTS))
    return np.clip(noisy, -128, 127).astype(np.int8), labels
