"""Parameters while a model is being imported: numpy values that carry their quantization along."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from tvm import relax

from ..errors import OdtError

ACTIVATION_CODES = ("int8", "uint8")
STORED_CODES = (*ACTIVATION_CODES, "int32")  # of constants; int32: of biases


def check_codes(dtype: str, where: str, allowed: Sequence[str] = STORED_CODES) -> None:
    """OdtError unless codes of `dtype` can be compiled; `where` says which they are."""
    if dtype not in allowed:
        raise OdtError(
            f"{where} has {dtype} codes; {', '.join(allowed)} can be compiled. Quantize to int8."
        )


@dataclass(frozen=True)
class Parameter:
    """A constant tensor of the source model.

    stored : its elements as they lie in memory; int8 or int32 codes where it is quantized.
    scale, zero_point : None for a plain tensor; for a quantized one they have the shape of
        ``stored`` (broadcast), so that reshape and transpose treat all alike and need no axis
        bookkeeping.

    Who computes with a constant reads ``value``; ``stored`` is for who stores it.

    source : the tensor of the source function that it comes from, positions : its elements' places
        there. What is read twice, as it is and transposed, is one parameter.
    origins : names of the file's tensors that it is computed from; none where it is one of them.
    """

    name: str | None
    stored: np.ndarray
    scale: np.ndarray | None = None
    zero_point: np.ndarray | None = None
    source: relax.Expr | None = None
    positions: np.ndarray | None = None
    origins: tuple[str, ...] = ()

    @property
    def value(self) -> np.ndarray:
        """What the elements stand for: float32 where they are codes, else what is stored."""
        if self.scale is None or self.zero_point is None:
            return self.stored
        return (self.stored.astype(np.int64) - self.zero_point).astype(np.float32) * self.scale

    @property
    def shape(self) -> tuple[int, ...]:
        return self.stored.shape

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

    @property
    def tensors(self) -> tuple[str, ...]:
        """Names of the file's tensors of several floats that it is, or is computed from."""
        floats = self.scale is not None or self.stored.dtype == np.float32
        if self.origins or self.name is None or not floats or self.stored.size < 2:
            return self.origins
        return (self.name,)

    def restating(self, other: Parameter) -> Parameter:
        """The same, known to hold the elements of `other`, decoded or encoded."""
        return replace(self, source=other.source, positions=other.positions)

    @staticmethod
    def quantized(
        name: str | None,
        codes: np.ndarray,
        scale: np.ndarray | float,
        zero_point: np.ndarray | int,
        axis: int,
    ) -> Parameter:
        """Codes with one scale and zero point, or one for each index along `axis`.

        codes : int8, uint8 (which become int8, less 128) or int32; OdtError for others.
        """
        where = f'parameter "{name}"' if name else f"a constant of shape {codes.shape}"
        check_codes(str(codes.dtype), where)
        zero_point = np.asarray(zero_point).astype(np.int64)
        if codes.dtype == np.uint8:
            codes, zero_point = (codes.astype(np.int16) - 128).astype(np.int8), zero_point - 128
        scale = np.asarray(scale, np.float32)
        usable = np.isfinite(scale) & (scale >= 0)  # 0: of a channel that is all zeros
        if not usable.all():
            raise OdtError(f"{where} has scale {scale[~usable].flat[0]:g}; it must be positive.")
        scale, zero_point = (_along(axis, n, codes.shape, where) for n in (scale, zero_point))
        return Parameter(name, codes, scale, zero_point)

    def stands_for_same(self, other: Parameter) -> bool:
        """Whether `other`, of the same source, has the same scales and zero points."""
        if self.scale is None or other.scale is None:
            return self.scale is other.scale
        assert self.zero_point is not None and other.zero_point is not None, "as scales"
        ours, theirs = (np.argsort(p.places.ravel()) for p in (self, other))
        return np.array_equal(
            self.scale.ravel()[ours], other.scale.ravel()[theirs]
        ) and np.array_equal(self.zero_point.ravel()[ours], other.zero_point.ravel()[theirs])

    def map(self, function: Callable[[np.ndarray], np.ndarray]) -> Parameter:
        """Apply a pure data movement (reshape, transpose) to elements, their coding and places."""
        scale, zero_point, positions = (
            None if numbers is None else function(numbers)
            for numbers in (self.scale, self.zero_point, self.positions)
        )
        stored = function(self.stored)
        return replace(self, stored=stored, scale=scale, zero_point=zero_point, positions=positions)

    def channel_scale(self) -> np.ndarray | np.floating:
        """Scale along axis 0, a scalar array when it is the same everywhere."""
        assert self.scale is not None, "no plain tensor has one"
        return self._channels(self.scale, "scales")

    def channel_zero_point(self) -> np.ndarray | np.integer:
        """Zero point along axis 0, as `channel_scale` and of the codes' dtype."""
        assert self.zero_point is not None, "no plain tensor has one"
        return self._channels(self.zero_point, "zero points").astype(self.stored.dtype)

    def _channels(self, spread: np.ndarray, what: str) -> np.ndarray:
        rows = spread.reshape(spread.shape[0], -1)
        if not np.all(rows == rows[:, :1]):
            raise OdtError(
                f"parameter {self.name}: its {what} do not run along the output channels of a "
                "convolution, or of a fully connected layer with one row of data; only those can "
                "have one for each. Quantize it with one for the whole tensor."
            )
        per_channel = np.ascontiguousarray(rows[:, 0])
        return per_channel[0] if np.all(per_channel == per_channel[0]) else per_channel


def _along(axis: int, numbers: np.ndarray, shape: tuple[int, ...], where: str) -> np.ndarray:
    """`numbers`, one or one for each index along `axis`, spread over `shape`."""
    if numbers.size == 1:
        return np.broadcast_to(numbers.reshape(()), shape)
    if not -len(shape) <= axis < len(shape) or numbers.shape != (shape[axis],):
        raise OdtError(
            f"{where} has scales or zero points of shape {numbers.shape}; allowed is one number, "
            f"or one for each index of axis {axis} of {shape}."
        )
    column = [1] * len(shape)
    column[axis] = numbers.size
    return np.broadcast_to(numbers.reshape(column), shape)


def parameters_of(
    where: str, function: relax.Function, source_name: Callable[[str], str | None]
) -> dict[relax.Var, tuple[str | None, np.ndarray]]:
    """(name in the source, value) of each parameter of an imported function with one input.

    where : what errors begin with.
    source_name : the importer's name of a parameter -> the source's, or None where it has none.
    """
    inputs = int(function.attrs["num_input"])
    if inputs != 1:
        raise OdtError(f"{where}: the model has {inputs} inputs; exactly one is supported")
    pairs = zip(function.params[1:], function.attrs.get("params", []), strict=True)
    return {var: (source_name(var.name), value.numpy()) for var, value in pairs}
