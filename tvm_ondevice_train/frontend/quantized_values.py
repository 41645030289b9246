"""Parameters while a model is being imported: numpy values that carry their quantization along."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from tvm import relax

from ..errors import OdtError


@dataclass(frozen=True)
class Parameter:
    """A constant tensor of the source model.

    ``scale`` is None for a plain tensor; for a quantized one it has the shape of ``value``
    (broadcast), so that reshape and transpose treat both alike and need no axis bookkeeping.
    ``source`` is the tensor of the source function that it comes from, ``positions`` its elements'
    places there: what is read twice, as it is and transposed, is one parameter.
    """

    name: str | None
    value: np.ndarray
    scale: np.ndarray | None = None
    source: relax.Expr | None = None
    positions: np.ndarray | None = None

    @staticmethod
    def of(source: relax.Expr, name: str | None, value: np.ndarray) -> Parameter:
        """A tensor of the source function, as it lies there."""
        positions = np.arange(value.size).reshape(value.shape)
        return Parameter(name, value, source=source, positions=positions)

    @property
    def places(self) -> np.ndarray:
        """`positions` of what has a source."""
        assert self.positions is not None, "it is computed, or copied"
        return self.positions

    def restating(self, other: Parameter) -> Parameter:
        """The same, known to hold the elements of `other`, decoded or encoded."""
        return replace(self, source=other.source, positions=other.positions)

    @staticmethod
    def quantized(
        name: str | None,
        value: np.ndarray,
        scale: np.ndarray | float,
        zero_point: np.ndarray | int,
        axis: int,
    ) -> Parameter:
        """Attach a per-tensor or per-axis scale; weights must be symmetric (zero point 0)."""
        if np.any(np.asarray(zero_point) != 0):
            raise OdtError(
                f"parameter {name or 'of shape ' + str(value.shape)} has a zero point other than "
                "0; only symmetric weights can be trained. Quantize the weights symmetrically."
            )
        scale = np.asarray(scale, np.float32)
        if scale.size > 1:
            shape = [1] * value.ndim
            shape[axis] = scale.size
            scale = scale.reshape(shape)
        return Parameter(name, value, np.broadcast_to(scale, value.shape))

    def stands_for_same(self, other: Parameter) -> bool:
        """Whether `other`, of the same source, has the same scales."""
        ours, theirs = (p.scale if p.scale is None else p.scale.ravel() for p in (self, other))
        if ours is None or theirs is None:
            return ours is theirs
        order, others = (np.argsort(p.places.ravel()) for p in (self, other))
        return np.array_equal(ours[order], theirs[others])

    def map(self, function: Callable[[np.ndarray], np.ndarray]) -> Parameter:
        """Apply a pure data movement (reshape, transpose) to value, scale and positions."""
        scale = None if self.scale is None else function(self.scale)
        positions = None if self.positions is None else function(self.positions)
        return replace(self, value=function(self.value), scale=scale, positions=positions)

    def channel_scale(self) -> np.ndarray | np.floating:
        """Scale along axis 0, a scalar array when it is the same everywhere."""
        assert self.scale is not None, "no plain tensor has one"
        rows = self.scale.reshape(self.scale.shape[0], -1)
        if not np.all(rows == rows[:, :1]):
            raise OdtError(
                f"parameter {self.name}: its scales do not run along the output channels; only "
                "per-tensor and per-output-channel quantization is supported."
            )
        per_channel = np.ascontiguousarray(rows[:, 0])
        return per_channel[0] if np.all(per_channel == per_channel[0]) else per_channel


def parameters_of(
    where: str, function: relax.Function, source_name: Callable[[str], str]
) -> dict[relax.Var, tuple[str, np.ndarray]]:
    """(name in the source, value) of each parameter of an imported function with one input.

    where : what errors begin with.
    source_name : the importer's name of a parameter -> the source's.
    """
    inputs = int(function.attrs["num_input"])
    if inputs != 1:
        raise OdtError(f"{where}: the model has {inputs} inputs; exactly one is supported")
    pairs = zip(function.params[1:], function.attrs.get("params", []), strict=True)
    return {var: (source_name(var.name), value.numpy()) for var, value in pairs}
