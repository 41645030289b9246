"""Passes take time as the network has layers, as TVM's own do: counted in calls of Python."""

import sys

import pytest
import tvm
from tvm import relax

from relay_passes import (
    AppendLoss,
    EliminateDeadGradients,
    FusePrologue,
    LegalizeOps,
    SparseBackward,
)

LAYERS = 30


def losses(layers: int) -> tvm.IRModule:
    x = relax.Var("x", relax.TensorType((2, 8), "float32"))
    shapes = {
        f"{name}{i}": shape for i in range(layers) for name, shape in (("w", (8, 8)), ("b", (8,)))
    }
    parameters = [relax.Var(n, relax.TensorType(s, "float32")) for n, s in shapes.items()]
    builder = relax.BlockBuilder()
    with builder.function("main", [x, *parameters]):
        with builder.dataflow():
            value = x
            for weight, bias in zip(parameters[::2], parameters[1::2], strict=True):
                product = builder.emit(relax.op.matmul(value, weight))
                value = builder.emit(relax.op.nn.relu(builder.emit(relax.op.add(product, bias))))
            value = builder.emit_output(value)
        builder.emit_func_output(value)
    return AppendLoss("cross_entropy")(builder.get())


def some_channels(layers: int) -> SparseBackward:
    return SparseBackward({f"w{i}": [0, 3] for i in range(layers)})


CASES = {
    "all": ([], lambda _: SparseBackward()),
    "channels": ([], some_channels),
    "dead": ([some_channels], lambda _: EliminateDeadGradients()),
    "kernels": ([some_channels], lambda _: LegalizeOps()),
    "prologues": (
        [
            some_channels,
            lambda _: EliminateDeadGradients(),
            lambda _: LegalizeOps(),
            lambda _: relax.transform.AnnotateTIROpPattern(),
        ],
        lambda _: FusePrologue(),
    ),
}


def calls(before, measured, layers: int) -> int:
    module = losses(layers)
    for make in before:
        module = make(layers)(module)
    transform, count = measured(layers), 0

    def counts(_frame, event, _argument):
        nonlocal count
        count += event == "call"

    others = sys.getprofile()
    sys.setprofile(counts)
    try:
        transform(module)
    finally:
        sys.setprofile(others)
    return count


@pytest.mark.parametrize("before, measured", CASES.values(), ids=CASES)
def test_twice_the_layers_take_twice_the_time(before, measured):
    once, twice = (calls(before, measured, layers) for layers in (LAYERS, 2 * LAYERS))
    assert once > 1000 and twice < 2.2 * once
