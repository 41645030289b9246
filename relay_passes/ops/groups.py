"""Groups of QDQ as integer operators: dequantized operands, an operator, activations, a quantize.

A rule takes the values of a function's variables, the variable that the operator gives and the
`Epilogue` behind it; it returns the call on codes, None where the codes do not allow it, and the
variables inside the group besides.
"""

from __future__ import annotations

import numpy as np
from tvm import relax

from ..graph import Shape, Values, constant, dtype_of, is_call_of, shape_of
from .codes import codes_of
from .convolution import geometry
from .masks import INT8_MAX, INT8_MIN
from .quantized import INT32_MAX, most_taps, requantization
from .registry import Attributes, call

CONV2D = "relax.nn.conv2d"


class Epilogue:
    """Scale, zero point and the activation between an operator and its quantize."""

    def __init__(self, scale: float, zero_point: int) -> None:
        self.scale, self.zero_point = scale, zero_point
        self.low, self.high = -np.inf, np.inf  # in the real domain
        self.open_low = False  # a ReLU's gradient is 0 at 0 itself

    @property
    def active(self) -> bool:
        return bool(np.isfinite(self.low) or np.isfinite(self.high))

    def absorb(self, low: float, high: float, open_low: bool) -> None:
        """Add an activation that clamps, see `Operator.bounds`."""
        if low > self.low:
            self.open_low = open_low
        elif low == self.low:
            self.open_low |= open_low
        self.low, self.high = max(self.low, low), min(self.high, high)

    def bounds(
        self, scale: np.ndarray | float, limit: int = INT32_MAX
    ) -> tuple[np.ndarray, np.ndarray]:
        """Least and greatest accumulator of that scale for which the gradient passes."""
        with np.errstate(divide="ignore", invalid="ignore"):
            low = np.nan_to_num(np.ceil(np.float64(self.low) / scale), nan=0.0)
            high = np.nan_to_num(np.floor(np.float64(self.high) / scale), nan=0.0)
        low = low + 1 if self.open_low else low
        low, high = (np.asarray(np.clip(b, -limit, limit), np.int64) for b in (low, high))
        return low, high

    def attributes(self, shape: Shape) -> Attributes:
        return {
            "shape": list(shape),
            "zero_point": self.zero_point,
            "low": self._code(self.low),
            "high": self._code(self.high),
            "mask": False,
        }

    def _code(self, real: float) -> int:
        code = np.rint(np.clip(real / self.scale, -1e6, 1e6)) + self.zero_point
        return int(np.clip(code, INT8_MIN, INT8_MAX))


def integer_conv2d(
    values: Values, real: relax.Var, epilogue: Epilogue
) -> tuple[relax.Call | None, list[relax.Var]]:
    """``quantize(conv2d(x, w))``."""
    return _with_bias(values, real, None, epilogue), []


def integer_add(
    values: Values, real: relax.Var, epilogue: Epilogue
) -> tuple[relax.Call | None, list[relax.Var]]:
    """``quantize(conv2d(x, w) + bias)``, or the sum of two activations."""
    operands = values[real].args
    for conv, bias in (operands, reversed(operands)):
        if is_call_of(values.get(conv), CONV2D):
            return _with_bias(values, conv, bias, epilogue), [conv]
    return _sum(values, real, epilogue), []


def _with_bias(
    values: Values, real: relax.Var, bias: relax.Expr | None, epilogue: Epilogue
) -> relax.Call | None:
    conv = values[real]
    data = codes_of(values.get(conv.args[0]))
    weight = values.get(conv.args[1])
    if data is None or not is_call_of(weight, "relax.dequantize") or not _is_nchw(conv):
        return None
    weight_scale, zero_point = map(constant, weight.args[1:])
    if weight_scale is None or (weight_scale.size > 1 and int(weight.attrs.axis) != 0):
        return None
    if zero_point is None or zero_point.size != 1 or dtype_of(weight.args[0]) != "int8":
        return None
    weight_zero_point = zero_point.item()
    if np.prod(shape_of(conv.args[1])[1:]) > most_taps(weight_zero_point):
        return None
    scale = np.asarray(weight_scale, np.float64) * data[1]
    bias_codes = _bias(values, bias, scale, shape_of(real)[1])
    if bias_codes is None:
        return None
    scale = np.broadcast_to(scale, (shape_of(real)[1],))
    multiplier, shift, rounding = requantization(scale / epilogue.scale)
    bounds = epilogue.bounds(scale) if epilogue.active else ()
    return call(
        "qconv2d",
        data[0],
        weight.args[0],
        bias_codes,
        relax.const(multiplier),
        relax.const(shift),
        *(relax.const(bound.astype(np.int32)) for bound in bounds),
        input_zero_point=data[2],
        weight_zero_point=weight_zero_point,
        rounding=rounding,
        **geometry(conv.attrs),
        **epilogue.attributes(shape_of(real)),
    )


def _is_nchw(conv: relax.Call) -> bool:
    """Whether activations are NCHW and the weight OIHW, as `qconv2d` has them."""
    layouts = conv.attrs.data_layout, conv.attrs.kernel_layout, conv.attrs.out_layout
    return tuple(map(str, layouts)) == ("NCHW", "OIHW", "NCHW")


def _bias(
    values: Values, bias: relax.Expr | None, scale: np.ndarray | float, channels: int
) -> relax.Expr | None:
    """int32 bias codes at the accumulator's scale, zeros for none, None if of another scale."""
    if bias is None:
        return relax.const(np.zeros(channels, np.int32))
    reshape = values.get(bias)
    if not is_call_of(reshape, "relax.reshape"):
        return None
    dequantize = values.get(reshape.args[0])
    if not is_call_of(dequantize, "relax.dequantize"):
        return None
    if dtype_of(dequantize.args[0]) != "int32":
        return None
    own = constant(dequantize.args[1])
    same = own is not None and np.allclose(own.astype(np.float64), scale, rtol=1e-5, atol=0)
    return dequantize.args[0] if same else None


def _sum(values: Values, real: relax.Var, epilogue: Epilogue) -> relax.Call | None:
    left, right = (codes_of(values.get(arg)) for arg in values[real].args)
    shapes = {shape_of(arg) for arg in values[real].args}
    if left is None or right is None or len(shapes) != 1:
        return None
    # one shift for both, two bits below the limit: the sum of two products stays in int64
    scales = np.array([left[1], right[1]], np.float64)
    shift = int(np.clip(29 - np.frexp(scales.max() / epilogue.scale)[1], 1, 60))
    multipliers = np.rint(np.ldexp(scales / epilogue.scale, shift)).astype(int)
    low, high = epilogue.bounds(np.ldexp(epilogue.scale, -shift), limit=2**62)
    return call(
        "qadd",
        left[0],
        right[0],
        left_multiplier=int(multipliers[0]),
        left_zero_point=left[2],
        right_multiplier=int(multipliers[1]),
        right_zero_point=right[2],
        shift=shift,
        activation=epilogue.active,
        acc_low=int(low),
        acc_high=int(high),
        **epilogue.attributes(shape_of(real)),
    )
