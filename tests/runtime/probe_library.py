"""probe/model.c, compiled into a shared library for ctypes or into a project for a board."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import numpy as np

from tvm_ondevice_train.manifest import Manifest, Target
from tvm_ondevice_train.project import runtime_dir
from tvm_ondevice_train.tensor_spec import TensorSpec

_PROBE = Path(__file__).with_name("probe")
FILES = {name: (_PROBE / name).read_text() for name in ("model.c", "model.h")}
BLOCK = 1024
FUNCTIONS = ("exp", "log", "tanh", "sigmoid", "sqrt", "fabs", "floor", "nearbyint", "erf")
INTEGERS = ("update", "update8", "clamp8")
FUNCTIONS += INTEGERS
MANIFEST = Manifest(
    model="probe",
    model_hash=0,
    scheme="full",
    board="host",
    loss="of no model",
    classes=BLOCK,
    input=TensorSpec((1, BLOCK), "float32"),
    output_shape=(1, len(FUNCTIONS), BLOCK),
    target=Target("label", (1,)),
    trained_parameters={},
    stack_bytes=8192,
)
_FLAGS = "-std=c99 -ffp-contract=off -Wall -Wextra -Wpedantic -Wundef -Wconversion -Werror".split()
# Zero, subnormal and normal numbers at their ends, infinity, NaN; users add the negated list.
_SPECIAL_BITS = [0, 1, 2, 0x7FFFFF, 0x800000, 0x800001, 0x7F7FFFFF, 0x7F800000, 0x7FC00000]
SPECIALS = np.array(_SPECIAL_BITS, np.uint32).view(np.float32)


class Probe:
    """The functions of the headers over numpy arrays, built by `compiler` with -O`level`."""

    def __init__(self, directory: Path, compiler: str = "gcc", level: str = "2", extra=()):
        path = directory / f"probe-{compiler}-{level}.so"
        command = [compiler, *_FLAGS, f"-O{level}", *extra, "-shared", "-fPIC"]
        command += [f"-I{_PROBE}", f"-I{runtime_dir() / 'include'}", str(_PROBE / "model.c")]
        subprocess.run([*command, "-o", str(path)], check=True)
        self.library = ctypes.CDLL(str(path))

    def all(self, x: np.ndarray) -> np.ndarray:
        """Every function, (12, n), of float32 x (n,)."""
        padded = np.zeros(-(-len(x) // BLOCK) * BLOCK, np.float32)
        padded[: len(x)] = x
        result = np.empty((len(padded) // BLOCK, len(FUNCTIONS), BLOCK), np.float32)
        for block, out in zip(padded.reshape(-1, BLOCK), result, strict=True):
            self.library.odt_predict(None, pointer(block), pointer(out))
        return result.transpose(1, 0, 2).reshape(len(FUNCTIONS), -1)[:, : len(x)]

    def __call__(self, name: str, x: np.ndarray) -> np.ndarray:
        """One function: float32 (n,), or int32 (n,) for `INTEGERS`."""
        result = self.all(x)[FUNCTIONS.index(name)]
        return result.view(np.int32) if name in INTEGERS else result

    def update(self, code, step, limit, seed, index) -> np.ndarray:
        """odt_update_code of the broadcast arguments, int32 (n,)."""
        return self.update_checked(code, step, limit, seed, index)[0]

    def update_checked(self, code, step, limit, seed, index) -> tuple[np.ndarray, np.ndarray]:
        """As `update`, and whether each step was found not to be finite, uint32 (n,)."""
        arrays = np.broadcast_arrays(*np.atleast_1d(code, step, seed, index))
        kinds = (np.int32, np.float32, np.uint32, np.uint32)
        code, step, seed, index = (
            np.ascontiguousarray(a, k) for a, k in zip(arrays, kinds, strict=True)
        )
        result, not_finite = np.empty(len(code), np.int32), np.empty(len(code), np.uint32)
        arguments = (pointer(code), pointer(step), int(limit), pointer(seed), pointer(index))
        self.library.probe_update(len(code), *arguments, pointer(result), pointer(not_finite))
        return result, not_finite


def pointer(array: np.ndarray) -> ctypes.c_void_p:
    return array.ctypes.data_as(ctypes.c_void_p)
