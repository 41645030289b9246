"""Gradients of our kernels beside those of PyTorch and of central differences."""

from __future__ import annotations

import numpy as np
import tiny
import torch
from tvm import relax

from relay_passes import SparseBackward


def check(operator, reference, *arrays: np.ndarray, differences: bool = True):
    """Gradients of ``sum(operator(*arrays) * weights)`` are those of `reference`.

    operator(emit, *variables) emits Relax; reference(*tensors) is the same in PyTorch.
    """
    arrays = [np.asarray(array, np.float32) for array in arrays]
    tensors = [torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in arrays]
    shape = tuple(reference(*tensors).shape)
    weights = np.random.default_rng(0).normal(size=shape).astype(np.float32)

    def loss(*operands):
        return (reference(*operands) * torch.tensor(weights, dtype=torch.float64)).sum()

    loss(*tensors).backward()
    names = [f"p{index}" for index in range(len(arrays))]
    computed = compute(operator, names, arrays, weights)
    for index, (name, tensor) in enumerate(zip(names, tensors, strict=True)):
        close(computed[name], tensor.grad.numpy())
        if differences:
            close(computed[name], central_differences(loss, tensors, index))


def compute(operator, names, arrays, weights) -> dict[str, np.ndarray]:
    def body(emit, _x, target, *variables):
        result = operator(emit, *variables)
        return emit(relax.op.sum(emit(relax.op.multiply(result, target))))

    leading = {"x": ((1,), "float32"), "target": (weights.shape, "float32")}
    parameters = {n: (a.shape, "float32") for n, a in zip(names, arrays, strict=True)}
    step = SparseBackward(set(names))(tiny.module({**leading, **parameters}, body))
    values = dict(zip(names, arrays, strict=True))
    return tiny.gradients(step, x=np.zeros(1, np.float32), target=weights, **values)


def central_differences(loss, tensors, index, step=1e-4) -> np.ndarray:
    operands = [t.detach().clone() for t in tensors]
    flat = operands[index].view(-1)
    result = np.empty(flat.numel())
    for position in range(flat.numel()):
        start = flat[position].item()
        flat[position] = start + step
        above = loss(*operands).item()
        flat[position] = start - step
        result[position] = (above - loss(*operands).item()) / (2 * step)
        flat[position] = start
    return result.reshape(operands[index].shape)


def close(computed, expected):
    assert computed.shape == expected.shape
    np.testing.assert_allclose(computed, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
