"""Gradients of Relax operators, computed by TVM's VirtualMachine, beside PyTorch's autograd."""

from __future__ import annotations

import numpy as np
import torch
import tvm
import tvm_user
from tvm import relax

from relay_passes import SparseBackward

TOLERANCE = {"float32": 1e-6, "float64": 1e-6, "float16": 4e-3, "bfloat16": 3e-2}


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def constant(value, dtype: str = "float32") -> relax.Constant:
    return relax.const(np.array(value, dtype))


def check(operator, reference, *arrays: np.ndarray, dtype: str = "float32", batch=None, before=()):
    """Gradients of ``sum(operator(*arrays) * weights)`` are those of `reference`.

    operator(emit, *variables) emits Relax; reference(*tensors) is the same in PyTorch. Parameters
    are float32 and are cast to `dtype`. batch: a float32 input, the first operand of both,
    whose first extent is symbolic. before: passes over the loss function. With
    `ToMixedPrecision` among them the tolerance is that of float16.
    """
    arrays = [np.asarray(array, np.float32) for array in arrays]
    leaves = [torch.tensor(array, requires_grad=True) for array in arrays]
    operands = [leaf.to(getattr(torch, dtype)) for leaf in leaves]
    result = reference(*([] if batch is None else [torch.tensor(batch)]), *operands)
    weights = np.random.default_rng(9).normal(size=tuple(result.shape)).astype(np.float32)
    (result.float() * torch.tensor(weights)).sum().backward()
    computed = _computed(operator, batch, weights, arrays, dtype, before)
    tolerance = TOLERANCE["float16" if "ToMixedPrecision" in map(_name, before) else dtype]
    for leaf, gradient in zip(leaves, computed, strict=True):
        expected = leaf.grad.numpy()
        assert gradient.shape == expected.shape and gradient.dtype == np.float32
        assert np.abs(gradient - expected).max() <= tolerance * np.abs(expected).max()


def _name(one) -> str:
    return str(one.info.name)


def step_of(operator, shapes, dtype="float32", target=(), batch=None, before=()) -> tvm.IRModule:
    """``main(x, target, p0, p1, ...) -> (loss, gradients)`` with parameters of `shapes`.

    batch: the shape of x, if the operator reads it. before: passes over the loss function.
    """
    x = relax.Var("x", relax.TensorType(batch or (1,), "float32"))
    weights = relax.Var("target", relax.TensorType(target, "float32"))
    parameters = [
        relax.Var(f"p{i}", relax.TensorType(shape, "float32")) for i, shape in enumerate(shapes)
    ]
    builder = relax.BlockBuilder()

    def cast(value: relax.Expr, to: str) -> relax.Expr:
        return value if value.ty.dtype == to else builder.emit(relax.op.astype(value, to))

    with builder.function("main", [x, weights, *parameters]):
        with builder.dataflow():
            operands = [cast(parameter, dtype) for parameter in parameters]
            operands = operands if batch is None else [x, *operands]
            result = cast(operator(builder.emit, *operands), "float32")
            product = builder.emit(relax.op.multiply(result, weights))
            loss = builder.emit_output(relax.op.sum(product))
        builder.emit_func_output(loss)
    differentiate = SparseBackward([p.name for p in parameters], optimizer=None)
    return tvm.transform.Sequential([*before, differentiate])(builder.get())


def _computed(operator, batch, weights, arrays, dtype, before) -> list[np.ndarray]:
    shapes, target, symbolic = [array.shape for array in arrays], weights.shape, None
    if batch is not None:
        extent = tvm.tirx.Var("n", "int64")
        symbolic, target = [extent, *batch.shape[1:]], [extent, *target[1:]]
    step = step_of(operator, shapes, dtype, target, symbolic, before)
    x = np.zeros(1, np.float32) if batch is None else batch
    return tvm_user.run(step, x, weights, *arrays)[1]
