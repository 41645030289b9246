"""Run one kernel with an operand and a result in one buffer, as the code generator places them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import tiny
from instruments.interpreter import Interpreter

from relay_passes import lowering
from relay_passes.memory.read_step import read_step
from relay_passes.memory.step import Step, Task, Tensor
from tvm_ondevice_train.codegen.shared_bytes import Place, own_places, reuse_in_place

LIMITS = {"int8": (-128, 128), "uint8": (0, 9), "int32": (-999, 999)}


def kernels(parameters: dict, body, fuse: bool = True) -> Step:
    """The lowered function whose arguments all lie in the arena."""
    return read_step(lowering(fuse)(tiny.module(parameters, body)), ("input",) * len(parameters))


def pairs_of(op: Task) -> set[tuple[str, int]]:
    """(name of the operand, number of the result) that the kernel claims."""
    return {(op.inputs[argument].name, output) for argument, output in op.kernel.in_place}


def results_apart_and_together(program: Step):
    """For each pair that a kernel claims: (op, pair, its results apart, and in one buffer)."""
    values = random_values(program)
    interpreter = Interpreter(program, values)
    values |= interpreter.run()
    for op in program.tasks:
        for pair in op.kernel.in_place:
            apart = run_apart(interpreter, op, values)
            yield op, pair, apart, run_together(interpreter, op, values, pair)


def run_apart(interpreter: Interpreter, op: Task, values: Mapping) -> list[bytes]:
    """Results of `op`, each tensor in a buffer of its own."""
    return _run(interpreter, op, values, own_places(Step((op,), {})))


def run_together(interpreter: Interpreter, op: Task, values: Mapping, pair) -> list[bytes]:
    """Results of `op` where codegen puts (argument, output) `pair` into one buffer."""
    # nobody in a program of one op writes its operands
    inputs = [replace(t, role="input") if t.role == "temporary" else t for t in op.inputs]
    kernel = replace(op.kernel, in_place=(pair,))
    alone = replace(op, kernel=kernel, inputs=tuple(inputs))
    places = reuse_in_place(Step((alone,), {}))
    operand, result = op.inputs[pair[0]], op.outputs[pair[1]]
    assert places[operand.name].buffer == places[result.name].buffer
    return _run(interpreter, op, values, places)


def _run(interpreter: Interpreter, op: Task, values: Mapping, places) -> list[bytes]:
    buffers: dict[str, np.ndarray] = {}

    def memory(tensor: Tensor) -> np.ndarray:
        place = places.get(tensor.name, Place(tensor.name, 0))
        if place.buffer not in buffers:  # large enough for all that lies in it, and aligned
            buffers[place.buffer] = np.full(4096, 0x5A5A5A5A5A5A5A5A, np.int64).view(np.uint8)
        return buffers[place.buffer][place.offset :][: tensor.size_bytes]

    for tensor in op.inputs:
        memory(tensor)[:] = _stored(tensor, values[tensor.name])
    arguments = [memory(tensor) for tensor in (*op.inputs, *op.outputs)]
    if op.kernel.workspace_bytes:
        arguments.append(np.zeros(op.kernel.workspace_bytes // 8 + 1, np.int64))
    interpreter.call(op.kernel, arguments)
    return [memory(tensor).tobytes() for tensor in op.outputs]


def _stored(tensor: Tensor, value: np.ndarray) -> np.ndarray:
    if tensor.dtype == "bool" and value.dtype == bool:
        return np.packbits(value.reshape(-1), bitorder="little")
    return np.ascontiguousarray(value, value.dtype).reshape(-1).view(np.uint8)


def random_values(program: Step, seed: int = 0) -> dict[str, np.ndarray]:
    """Of the function's arguments, by name; booleans packed."""
    generator = np.random.default_rng(seed)
    values = {}
    for tensor in sorted({t for op in program.tasks for t in op.inputs}, key=lambda t: t.name):
        if tensor.role == "input" and tensor.dtype == "bool":
            values[tensor.name] = generator.integers(0, 256, tensor.size_bytes, np.uint8)
        elif tensor.role == "input" and tensor.dtype in LIMITS:
            values[tensor.name] = generator.integers(*LIMITS[tensor.dtype], tensor.shape)
            values[tensor.name] = values[tensor.name].astype(tensor.dtype)
        elif tensor.role == "input":
            values[tensor.name] = generator.normal(size=tensor.shape).astype(tensor.dtype)
    return values | program.constants
