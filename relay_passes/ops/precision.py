"""Adjoints in fewer bits: how a float32 is stored in 16 or 8 bits, and read again.

bfloat16 is the upper half of a float32 (8 bits of mantissa, the same range); float8 has a sign, 5
bits of exponent and 2 of mantissa, for magnitudes from 2^-27 to 14: adjoints are small. Both round
to nearest, ties to even, and need no scale. The C is in runtime/c/include/odt_kernels.h.
"""

from __future__ import annotations

from tvm import relax, te

from ..formats import FORMATS
from ..graph import shape_of
from .registry import Attributes, call, register
from .runtime_functions import CALLERS


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
    bits_of = CALLERS[f"odt_{attrs['format']}_of"]
    return te.compute(data.shape, lambda *index: bits_of(data(*index)), name="encoded")


@register("decode", lambda expr: relax.TensorType(shape_of(expr.args[0]), "float32"), ("format",))
def _decode(attrs: Attributes, bits: te.Tensor) -> te.Tensor:
    float_of = CALLERS[f"odt_float_of_{attrs['format']}"]
    return te.compute(bits.shape, lambda *index: float_of(bits(*index)), name="decoded")
