"""Run a program kernel by kernel on this computer, with every tensor in a buffer of its own.

The same C kernels as the device's, without the arena: what the arena's plan cannot disturb, and
what makes every intermediate visible. The tests compare it with other implementations.
"""

from __future__ import annotations

import ctypes
import math
import tempfile
from pathlib import Path

import numpy as np

from .codegen.c_printer import HEADERS
from .codegen.program import Op, Program, Tensor
from .device.toolchain import run_tool
from .project import runtime_dir

FLAGS = ("-std=c99", "-O2", "-ffp-contract=off", "-shared", "-fPIC", "-Wall", "-Werror")


class Interpreter:
    """Kernels of `program`, compiled once; `run` gives every tensor that they wrote.

    flags: further ones for gcc, a sanitizer for example.
    """

    def __init__(
        self, program: Program, parameters: dict[str, np.ndarray], flags: tuple[str, ...] = ()
    ):
        self.program = program
        self.flags = (*FLAGS, *flags)
        self.parameters = {name: np.array(value, order="C") for name, value in parameters.items()}
        texts = list(dict.fromkeys(op.kernel.text for op in program.ops))
        self.names = {text: f"kernel_{index}" for index, text in enumerate(texts)}
        self._directory = tempfile.TemporaryDirectory()
        self.library = self._build(texts)

    def _build(self, texts) -> ctypes.CDLL:
        source = Path(self._directory.name) / "kernels.c"
        functions = [
            text.replace("ODT_KERNEL void @NAME@", f"void {self.names[text]}") for text in texts
        ]
        headers = (f'#include "{header}"' for header in HEADERS)
        source.write_text("\n".join([*headers, *functions]))
        library = source.with_suffix(".so")
        include = f"-I{runtime_dir() / 'include'}"
        built = run_tool(["gcc", *self.flags, include, str(source), "-o", str(library)])
        if built.returncode:
            raise RuntimeError(f"the generated kernels do not compile: {built.stderr[:2000]}")
        return ctypes.CDLL(str(library))

    def run(self, **leaves: np.ndarray) -> dict[str, np.ndarray]:
        """Values of all tensors after one pass; parameters updated in place are kept.

        leaves: input, target, learning_rate and seed by role. Booleans come back unpacked.
        """
        values = {
            **self.parameters,
            **{name: np.array(v) for name, v in self.program.constants.items()},
        }
        for op in self.program.ops:
            for tensor in op.inputs:
                if tensor.role in leaves and tensor.name not in values:
                    values[tensor.name] = np.array(leaves[tensor.role], tensor.dtype, order="C")
            for tensor in op.outputs:
                values.setdefault(tensor.name, np.zeros(_stored_shape(tensor), _stored(tensor)))
            self._call(op, values)
        return {name: _unpacked(value, self._tensor(name)) for name, value in values.items()}

    def run_op(self, op: Op, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What one op of the program makes of its inputs, by name; nothing is changed.

        values: of the op's inputs by name; constants and parameters that it lacks are our own.
        """
        known = {**self.parameters, **self.program.constants, **values}
        local = {t.name: np.array(known[t.name], t.dtype, order="C") for t in op.inputs}
        for tensor in op.outputs:
            local.setdefault(tensor.name, np.zeros(_stored_shape(tensor), _stored(tensor)))
        self._call(op, local)
        return {tensor.name: _unpacked(local[tensor.name], tensor) for tensor in op.outputs}

    def _call(self, op, values):
        arrays = [values[t.name] for t in (*op.inputs, *op.outputs)]
        if op.kernel.workspace_bytes:
            arrays.append(np.zeros(op.kernel.workspace_bytes, np.uint8))
        if op.kernel.watches:
            arrays.append(np.zeros(1, np.uint32))
        pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in arrays]
        getattr(self.library, self.names[op.kernel.text])(*pointers)

    def _tensor(self, name: str) -> Tensor | None:
        for op in self.program.ops:
            for tensor in op.outputs:
                if tensor.name == name and tensor.role == "temporary":
                    return tensor
        return None


def _stored(tensor: Tensor) -> str:
    return "uint8" if tensor.dtype == "bool" else tensor.dtype


def _stored_shape(tensor: Tensor):
    return tensor.size_bytes if tensor.dtype == "bool" else tensor.shape


def _unpacked(value: np.ndarray, tensor: Tensor | None) -> np.ndarray:
    if tensor is None or tensor.dtype != "bool":
        return value
    bits = np.unpackbits(value, bitorder="little")[: math.prod(tensor.shape)]
    return bits.astype(bool).reshape(tensor.shape)
