"""Modules that a pass cannot work on: one line that says what to do."""

import pytest
import tiny
import tvm
from structure import refusal
from tvm import relax, te
from tvm.script import ir as I
from tvm.script import relax as R

from relay_passes import (
    DefaultSchedule,
    EliminateDeadGradients,
    InPlace,
    LowerToLoops,
    NarrowAdjoints,
    ReorderForMemory,
    SparseBackward,
    SplitParameters,
    lowering,
)
from relay_passes.memory.read_step import read_step
from relay_passes.tir import T, tirx

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


@I.ir_module
class Others:
    """Functions that `ReorderForMemory` cannot work on."""

    @R.function
    def branch(x: R.Tensor((4, 8), "float32"), on: R.Tensor((), "bool")):
        if on:  # noqa: SIM108 - Relax has no other form
            y = R.exp(x)
        else:
            y = R.negative(x)
        return y

    @R.function(pure=False)
    def call(x: R.Tensor((4, 8), "float32")):
        return R.call_packed("its.name", x, ty_args=[R.Tensor((4, 8), "float32")])

    @R.function
    def dynamic(x: R.Tensor(("n", 8), "float32")):
        return x

    @R.function
    def bundle(pair: R.Tuple(R.Tensor((4,), "float32"), R.Tensor((4,), "float32"))):
        return pair[0]


@pytest.mark.parametrize(
    "name, message",
    [
        ("branch", "If is no tensor."),
        ("call", 'a call of R.ExternFunc("its.name") is no kernel; run lowering() first.'),
        ("dynamic", "shapes are not static."),
        ("bundle", "pair is no tensor."),
        ("none", 'the module has no Relax function "none".'),
    ],
)
def test_a_function_that_does_more_than_call_kernels_is_named(name, message):
    line = refusal(ReorderForMemory(func_name=name), Others)
    assert line.endswith(message) and f'"{name}"' in line


@pytest.mark.parametrize("transform", [DefaultSchedule(), LowerToLoops()])
def test_a_kernel_of_any_size_is_named(transform):
    x = te.placeholder((tirx.Var("n", "int64"), 8), "float32", "x")
    kernel = te.create_prim_func([x, te.compute(x.shape, lambda i, j: x[i, j] * 2.0, name="y")])
    line = refusal(transform, tvm.IRModule({"doubled": kernel}))
    name = transform.info.name.removeprefix("odt.")
    assert line.endswith(f"{name}: the kernel doubled has a shape that is not static.")


def test_a_kernel_that_calls_something_may_read_anything():
    @I.ir_module
    class Sorts:
        @T.prim_func(s_tir=True)
        def sort(x: T.Buffer((8,)), y: T.Buffer((8,))):
            T.evaluate(T.call_packed("its.sort", x.data, y.data))

    message = 'T.call_packed("its.sort", x.data, y.data), whose loads and stores are not seen.'
    assert refusal(InPlace(), Sorts) == f"InPlace: a kernel calls {message}"


def test_a_lowered_module_is_taken():
    assert len(read_step(ReorderForMemory()(lowering()(doubled()))).tasks) == 1
