"""Adjoints in fewer bits: how a float32 is stored in 16 or 8 bits, and read again.

bfloat16 is the upper half of a float32 (8 bits of mantissa, the same range); float8 has a sign, 5
bits of exponent and 2 of mantissa, for magnitudes from 2^-27 to 14: adjoints are small. Both round
to nearest, ties to even, and need no scale. The C is in runtime/c/include/odt_kernels.h.
"""

from __future__ import annotations

from tvm import relax, te

from ..formats import FORMATS
from ..graph import shape_of
from ..tir import tirx
from .registry import Attributes, call, register


def encode(data: relax.Expr, format: str) -> relax.Call:
    """The bits of float32 `data` in `format`."""
    return call("encode", data, format=format)


def decode(bits: relax.Expr, format: str) -> relax.Call:
    """float32 again."""
    return call("decode", bits, format=format)


@register(
    "encode",
    lambda expr: relax.TensorType(shape_of(expr.args[0]), FORMATS[str(expr.attrs["format"])]),
    ("format",),
)
def _encode(attrs: Attributes, data: te.Tensor) -> te.Tensor:
    dtype, function = FORMATS[attrs["format"]], f"odt_{attrs['format']}_of"

    def element(*index: tirx.Var) -> tirx.Expr:
        return tirx.call_pure_extern(dtype, function, data(*index))

    return te.compute(data.shape, element, name="encoded")


@register("decode", lambda expr: relax.TensorType(shape_of(expr.args[0]), "float32"), ("format",))
def _decode(attrs: Attributes, bits: te.Tensor) -> te.Tensor:
    function = f"odt_float_of_{attrs['format']}"

    def element(*index: tirx.Var) -> tirx.Expr:
        return tirx.call_pure_extern("float32", function, bits(*index))

    return te.compute(bits.shape, element, name="decoded")
