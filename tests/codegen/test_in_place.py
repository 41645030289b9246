"""Which results may take an operand's bytes, and which do."""

import numpy as np
import pytest
import tiny
from tvm import relax

from relay_passes import lowering
from tvm_ondevice_train.codegen.c_printer import CKernel
from tvm_ondevice_train.codegen.in_place import reuse_in_place
from tvm_ondevice_train.codegen.program import Op, Program, Tensor, extract

MAP, KERNEL = ((1, 2, 4, 4), "float32"), ((2, 2, 1, 1), "float32")


def fused(parameters, body):
    """The pairs (argument, output) of the only kernel that `body` gives."""
    (op,) = extract(lowering()(tiny.module(parameters, body))).ops
    return {(op.inputs[argument].name, output) for argument, output in op.kernel.in_place}


def convolved_and_added(emit, x, w, y):
    return relax.op.add(emit(relax.op.nn.conv2d(x, w)), y)


def transposed_and_added(emit, x, y):
    return relax.op.add(emit(relax.op.permute_dims(x, (0, 1, 3, 2))), y)


@pytest.mark.parametrize(
    "body, parameters, pairs",
    [
        (lambda emit, x, y: relax.op.add(x, y), {"x": MAP, "y": MAP}, {("x", 0), ("y", 0)}),
        (convolved_and_added, {"x": MAP, "w": KERNEL, "y": MAP}, {("y", 0)}),
        (transposed_and_added, {"x": MAP, "y": MAP}, {("y", 0)}),
        (lambda emit, x: relax.op.sum(x, [1], True), {"x": MAP}, set()),
        (lambda emit, x: relax.op.astype(x, "int8"), {"x": MAP}, set()),
        (lambda emit, x: relax.op.greater(x, relax.const(0.0)), {"x": MAP}, set()),
    ],
    ids=["add", "convolution, then add", "transpose, then add", "sum", "narrower", "boolean"],
)
def test_a_kernel_knows_which_operands_it_may_overwrite(body, parameters, pairs):
    assert fused(parameters, body) == pairs


def tensor(name, elements=4, role="temporary"):
    return Tensor(name, (elements,), "float32", role)


def op(inputs, output, in_place=((0, 0),)):
    kernel = CKernel("", tuple(range(len(inputs))), (), in_place if inputs else (), 0, 0)
    return Op("op", "op", kernel, tuple(inputs), (output,))


A, B, C, D = (tensor(name) for name in "abcd")


@pytest.mark.parametrize(
    "ops, results, names",
    [
        ([op([], A), op([A], B), op([B], C)], [C], ["a", "a", "a"]),
        ([op([], A), op([A], B), op([A, B], C)], [C], ["a", "b", "a"]),
        ([op([], A), op([A], B)], [A, B], ["a", "b"]),
        ([op([], A), op([A, A], B)], [B], ["a", "b"]),
        ([op([], A), op([A], tensor("b", 3))], [], ["a", "b"]),
        ([op([], A), op([A], B, ())], [B], ["a", "b"]),
        ([op([tensor("x", role="input")], A)], [A], ["a"]),
        ([op([], A), op([A], tensor("p", role="parameter"))], [], ["a", "p"]),
    ],
    ids=["chain", "read later", "a result", "twice", "size", "not allowed", "input", "parameter"],
)
def test_a_result_takes_the_bytes_of_an_operand_that_nobody_needs_again(ops, results, names):
    reused = reuse_in_place(Program(tuple(ops), {}, tuple(results)))
    assert [o.outputs[0].name for o in reused.ops] == names
    stored = {old.outputs[0].name: new for old, new in zip(ops, names, strict=True)}
    assert [t.name for t in reused.results] == [stored[t.name] for t in results]


def test_readers_follow_the_bytes():
    reused = reuse_in_place(Program((op([], A), op([A], B), op([B, B], C, ())), {}, (C,)))
    assert [t.name for t in reused.ops[2].inputs] == ["a", "a"]
    assert reused.ops[1].outputs[0].shape == B.shape and np.prod(reused.results[0].shape) == 4
