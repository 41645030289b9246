"""Modules that a pass cannot work on: one line that says what to do."""

import pytest
import tiny
import tvm
from structure import refusal
from tvm import relax, te

from relay_passes import (
    EliminateDeadGradients,
    FusePrologue,
    InPlace,
    NarrowAdjoints,
    ReorderForMemory,
    SparseBackward,
    SplitParameters,
    lowering,
)
from relay_passes.memory.read_step import read_step

X = te.placeholder((4, 8), "float32", "x")
KERNEL = te.create_prim_func([X, te.compute((4, 8), lambda i, j: X[i, j] * 2.0, name="y")])


def doubled() -> tvm.IRModule:
    parameters = {"x": ((4, 8), "float32")}
    return tiny.module(parameters, lambda emit, x: emit(relax.op.add(x, x)))


@pytest.mark.parametrize(
    "transform",
    [
        SparseBackward({"w"}),
        SplitParameters({"w": [0]}),
        EliminateDeadGradients(),
        NarrowAdjoints("bfloat16"),
        FusePrologue(),
        ReorderForMemory(),
    ],
    ids=lambda transform: type(transform).__name__,
)
def test_a_module_without_a_relax_function_main(transform):
    name = type(transform).__name__
    expected = f'{name}: the module has no Relax function "main".'
    assert refusal(transform, tvm.IRModule({"main": KERNEL})).endswith(expected)


@pytest.mark.parametrize(
    "transform, module, message",
    [
        (InPlace(), tvm.IRModule({"kernel": KERNEL}), "no plain loop; run LowerToLoops first."),
        (ReorderForMemory(), doubled(), "relax.add is no kernel; run lowering() first."),
        (
            ReorderForMemory(),
            relax.transform.LegalizeOps()(doubled()),
            "a kernel has no attribute odt.reads; run LowerToLoops and InPlace first.",
        ),
    ],
    ids=["blocks", "operators", "kernels that are not lowered"],
)
def test_a_module_that_came_too_early(transform, module, message):
    assert refusal(transform, module).endswith(message)


def test_a_lowered_module_is_taken():
    assert len(read_step(ReorderForMemory()(lowering()(doubled()))).tasks) == 1
