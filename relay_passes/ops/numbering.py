"""Which axes of an operator's result and operands number their channels alike.

Each rule gives, for a call, pairs of such axes, each as (operand, axis) with `RESULT` for the
result, or None where the operator mixes channels, or may. Activations are NCHW: channels lie on
axis 1.
"""

from __future__ import annotations

from tvm import relax

from ..graph import shape_of
from .convolution import channel_multiplier

RESULT = -1
Pairs = list[tuple[tuple[int, int], tuple[int, int]]]


def same(call: relax.Call) -> Pairs | None:
    """Result and operands share their channels; an operand of one channel is broadcast."""
    shape, pairs = shape_of(call), []
    for position, operand in enumerate(call.args):
        is_tensor = isinstance(getattr(operand, "ty", None), relax.TensorType)
        own = shape_of(operand) if is_tensor else ()
        if all(n == 1 for n in own):
            continue
        if len(shape) < 2 or len(own) != len(shape) or own[1] != shape[1]:
            return None
        pairs.append(((RESULT, 1), (position, 1)))
    return pairs


def convolution(call: relax.Call) -> Pairs | None:
    """From the channels of the data to those of the result, along the weight."""
    groups = int(call.attrs.groups)
    rows = ((RESULT, 1), (1, 0))
    if groups == 1:
        return [rows, ((0, 1), (1, 1))]
    if channel_multiplier(shape_of(call.args[1]), groups) == 1:
        return [rows, ((0, 1), (RESULT, 1))]
    return None


def dequantize(call: relax.Call) -> Pairs:
    """Scale and zero point lie along one axis of the codes, or are one number."""
    codes, *constants = (shape_of(operand) for operand in call.args)
    along = int(call.attrs.axis)
    return [
        *(((RESULT, axis), (0, axis)) for axis, extent in enumerate(codes[:2]) if extent > 1),
        *(((0, along), (1 + i, 0)) for i, shape in enumerate(constants) if shape not in ((), (1,))),
    ]


def reshape(call: relax.Call) -> Pairs | None:
    """(C,) to (1, C, 1, 1), or (1, C, 1, 1) to (1, C) and back."""
    before, after = shape_of(call.args[0]), shape_of(call)
    if len(after) < 2 or after[0] != 1 or any(n != 1 for n in after[2:]):
        return None
    if before == after[1:2]:
        return [((RESULT, 1), (0, 0))]
    if before[:2] == after[:2] and all(n == 1 for n in before[2:]):
        return [((RESULT, 1), (0, 1))]
    return None


def spatial_mean(call: relax.Call) -> Pairs | None:
    """A mean over height and width keeps the channels."""
    axes = [int(axis) for axis in call.attrs.axis or ()]
    spatial = len(shape_of(call.args[0])) == 4 and axes == [2, 3] and bool(call.attrs.keepdims)
    return same(call) if spatial else None
