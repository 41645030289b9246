"""Run a step kernel by kernel on this computer, with every tensor in a buffer of its own.

The same C kernels as the device's, without the arena: what the arena's plan cannot disturb, and
what makes every intermediate visible. The tests compare it with other implementations.
"""

from __future__ import annotations

import ctypes
import math
import tempfile
from pathlib import Path

import numpy as np

from relay_passes.memory.step import Kernel, Step, Task, Tensor
from tvm_ondevice_train.codegen.c_printer import HEADERS, print_kernels
from tvm_ondevice_train.device.toolchain import run_tool
from tvm_ondevice_train.project import runtime_dir

FLAGS = (
    *("-std=c99", "-O2", "-ffp-contract=off", "-shared", "-fPIC"),
    *("-Wall", "-Wextra", "-Wpedantic", "-Wundef", "-Wconversion", "-Werror"),
)


class Interpreter:
    """Kernels of `step`, compiled once; `run` gives every tensor that they wrote.

    flags: further ones for gcc, a sanitizer for example.
    """

    def __init__(self, step: Step, parameters: dict[str, np.ndarray], flags: tuple[str, ...] = ()):
        self.step = step
        self.flags = (*FLAGS, *flags)
        self.parameters = {name: np.array(value, order="C") for name, value in parameters.items()}
        self.printed = print_kernels(step)
        different = {kernel.text: kernel for kernel in self.printed.values()}
        self.names = {text: f"kernel_{index}" for index, text in enumerate(different)}
        self._directory = tempfile.TemporaryDirectory()
        self.library = self._build(different)

    def _build(self, kernels) -> ctypes.CDLL:
        source = Path(self._directory.name) / "kernels.c"
        functions = [
            kernel.definition(self.names[text]).replace("ODT_KERNEL void", "void")
            for text, kernel in kernels.items()
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
            **{name: np.array(v) for name, v in self.step.constants.items()},
        }
        for task in self.step.tasks:
            for tensor in task.inputs:
                if tensor.role in leaves and tensor.name not in values:
                    values[tensor.name] = np.array(leaves[tensor.role], tensor.dtype, order="C")
            for tensor in task.outputs:
                values.setdefault(tensor.name, np.zeros(_stored_shape(tensor), _stored(tensor)))
            self._call(task, values)
        return {name: _unpacked(value, self._tensor(name)) for name, value in values.items()}

    def run_task(self, task: Task, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What one task of the step makes of its inputs, by name; nothing is changed.

        values: of the task's inputs by name; constants and parameters that it lacks are our own.
        """
        known = {**self.parameters, **self.step.constants, **values}
        local = {t.name: np.array(known[t.name], t.dtype, order="C") for t in task.inputs}
        for tensor in task.outputs:
            local.setdefault(tensor.name, np.zeros(_stored_shape(tensor), _stored(tensor)))
        self._call(task, local)
        return {tensor.name: _unpacked(local[tensor.name], tensor) for tensor in task.outputs}

    def _call(self, task, values):
        arrays = [values[t.name] for t in (*task.inputs, *task.outputs)]
        if task.kernel.workspace_bytes:
            arrays.append(np.zeros(task.kernel.workspace_bytes, np.uint8))
        self.call(task.kernel, arrays)

    def call(self, kernel: Kernel, arrays: list[np.ndarray]) -> None:
        """Run one kernel of the step on its operands, results and workspace."""
        printed = self.printed[kernel]
        if printed.watches:
            arrays = [*arrays, np.zeros(1, np.uint32)]
        pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in arrays]
        getattr(self.library, self.names[printed.text])(*pointers)

    def _tensor(self, name: str) -> Tensor | None:
        for task in self.step.tasks:
            for tensor in task.outputs:
                if tensor.name == name and tensor.in_arena:
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
