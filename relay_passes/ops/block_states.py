"""States of an optimizer in 8 bits: int8 codes in blocks, each with a scale (see `blocks_of`).

A state is decoded, averaged and coded again in one kernel, block by block, so that no more of it
than a block is ever a float32. Rounding is stochastic: an average that changes by less than a code
a step, as all of them do, moves by as much in the mean, where rounding to nearest would keep it
where it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tvm import relax, te

from ..tir import Scalar, tirx
from .integer_gradient import largest_magnitude
from .masks import INT8_MAX
from .registry import Attributes, call, register
from .runtime_functions import odt_block_factor, odt_update_code
from .staging import FACTOR, FRESH


def block_values(
    codes: relax.Expr, scale: relax.Expr, shape: Sequence[int], rooted: bool
) -> relax.Call:
    """float32 of `shape`: ``codes * scale`` of the block, or where it is `rooted` its square.

    codes : int8 (blocks, elements); scale : float32 (blocks,).
    """
    return call("block_values", codes, scale, shape=list(shape), rooted=rooted)


def _values_type(expr: relax.Call) -> relax.Type:
    return relax.TensorType([int(n) for n in expr.attrs["shape"]], "float32")


@register("block_values", _values_type, ("shape", "rooted"))
def _block_values(attrs: Attributes, codes: te.Tensor, scale: te.Tensor) -> te.Tensor:
    shape = [int(n) for n in attrs["shape"]]

    def element(*index: tirx.Var) -> tirx.Expr:
        block, place = _split(flat_index(index, shape), codes)
        return decoded(codes, scale, attrs["rooted"])(block, place)

    return te.compute(shape, element, name="value")


def _split(flat: tirx.Expr, codes: te.Tensor) -> tuple[tirx.Expr, tirx.Expr]:
    size = int(codes.shape[1])
    return tirx.floordiv(flat, size), tirx.floormod(flat, size)


def flat_index(index: Sequence[tirx.Expr], shape: Sequence[int]) -> tirx.Expr:
    """Where the element at `index` lies in a tensor of `shape`."""
    position = index[0]
    for axis, extent in zip(index[1:], shape[1:], strict=True):
        position = position * extent + axis
    return position


def index_of(flat: tirx.Expr, shape: Sequence[int]) -> list[tirx.Expr]:
    """The inverse of `flat_index`."""
    index: list[tirx.Expr] = []
    for extent in reversed(shape[1:]):
        index.insert(0, tirx.floormod(flat, extent))
        flat = tirx.floordiv(flat, extent)
    return [flat, *index]


def decoded(
    codes: te.Tensor, scale: te.Tensor, rooted: bool
) -> Callable[[Scalar, Scalar], tirx.Expr]:
    """The real value of code `place` of `block`."""

    def value(block: Scalar, place: Scalar) -> tirx.Expr:
        real = codes[block, place].astype("float32") * scale[block]
        return real * real if rooted else real

    return value


def coded(
    value: Callable[[tirx.Var, tirx.Var], tirx.Expr],
    blocks: Sequence[int],
    rooted: bool,
    seed: tirx.Expr,
) -> tuple[te.Tensor, te.Tensor]:
    """Codes and scales of `value`, which gives element `place` of a `block`.

    Of a `rooted` state no code is 0: however small the root, it is rounded up to 1.
    """

    def kept(block: tirx.Var, place: tirx.Var) -> tirx.Expr:
        fresh = value(block, place)
        return te.sqrt(fresh) if rooted else fresh

    def code(block: tirx.Var, place: tirx.Var) -> tirx.Expr:
        step = -(fresh[block, place] * factor[block])
        limit, zero = tirx.const(INT8_MAX, "int32"), tirx.const(0, "int32")
        at = flat_index([block, place], blocks).astype("uint32")
        new = odt_update_code(zero, step, limit, seed, at)
        return (tirx.max(new, 1) if rooted else new).astype("int8")

    fresh = te.compute(blocks, kept, name=FRESH)
    place = te.reduce_axis((0, blocks[1]), "place")
    peak = te.compute(
        blocks[:1],
        lambda block: largest_magnitude(fresh[block, place], axis=place),
        name="peak_of_block",
    )
    most = tirx.const(INT8_MAX, "float32")
    factor = te.compute(blocks[:1], lambda b: odt_block_factor(peak[b], most), name=FACTOR)
    unit = tirx.const(1 / INT8_MAX, "float32")
    scale = te.compute(blocks[:1], lambda b: peak[b] * unit, name="scale")
    return te.compute(blocks, code, name="codes"), scale
