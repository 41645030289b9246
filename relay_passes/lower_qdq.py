"""Turn dequantize -> float op -> quantize into integer operators."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import tvm
from tvm import relax

from .graph import bindings_of, constant, consumers_of, dtype_of, op_name, shape_of
from .ops.convolution import geometry
from .ops.masks import INT8_MAX, INT8_MIN, MASKS
from .ops.quantized import INT32_MAX, MAX_TAPS, requantization
from .ops.registry import call


@tvm.transform.module_pass(opt_level=0, name="LowerQDQ")
class LowerQDQ:
    """Replace each QDQ group by one integer operator on the codes.

    A group is a `quantize`, an optional ReLU or clip above it, and a conv2d (with or without
    bias), a residual add or a spatial mean over dequantized operands. Inner values may be read by
    gradient masks only; those become the operator's second result, true where every mask of the
    group is. What matches no group stays as it is and runs in float32.

    Examples
    --------
    .. code-block:: python

        x = R.dequantize(x_q, sx, zx)                                     # before
        y = R.nn.conv2d(x, R.dequantize(w_q, sw, 0))
        y_q = R.quantize(y, sy, zy)

        y_q = R.odt.qconv2d(x_q, w_q, bias, sx * sw / sy)                 # after
    """

    def transform_module(self, module: tvm.IRModule, _context) -> tvm.IRModule:
        for gvar, function in module.functions_items():
            if isinstance(function, relax.Function):
                module = _with(module, gvar, _Lowering(function).run())
        return relax.transform.DeadCodeElimination()(module)


def _with(module, gvar, function):
    module = tvm.IRModule(dict(module.functions_items()), attrs=module.attrs)
    module[gvar] = function
    return module


@dataclass
class _Group:
    """What lies between the operands and one quantize."""

    inner: list[relax.Var]  # values computed inside, the pre-activation first
    call: relax.Call  # the operator on codes, without a mask
    masks: list[relax.Var] = field(default_factory=list)


class _Lowering:
    def __init__(self, function: relax.Function):
        self.function = function
        self.values = {b.var: b.value for b in bindings_of(function)}
        self.consumers = consumers_of(function)

    def run(self) -> relax.Function:
        function = self.function
        builder = relax.BlockBuilder()
        masks = {}  # mask variable of the source -> mask variable of the operator
        with builder.function("main", function.params):
            with builder.dataflow():
                for binding in bindings_of(function):
                    self._emit(builder, binding, masks)
                output = builder.emit_output(function.body.body)
            builder.emit_func_output(output)
        lowered = builder.get()["main"]
        return lowered.with_attrs(dict(function.attrs)) if function.attrs else lowered

    def _emit(self, builder, binding, masks):
        if binding.var in masks:
            builder.emit_normalized(relax.VarBinding(binding.var, masks[binding.var]))
            return
        group = self._match(binding)
        if group is None:
            builder.emit_normalized(binding)
            return
        if not group.masks:
            builder.emit_normalized(relax.VarBinding(binding.var, builder.normalize(group.call)))
            return
        pair = builder.emit(_with_mask(group.call))
        codes = builder.normalize(relax.TupleGetItem(pair, 0))
        builder.emit_normalized(relax.VarBinding(binding.var, codes))
        mask = builder.emit(relax.TupleGetItem(pair, 1))
        masks.update({source: mask for source in group.masks})

    def _match(self, binding) -> _Group | None:
        if op_name(binding.value) != "relax.quantize":
            return None
        real, scale, zero_point = binding.value.args
        scale, zero_point = constant(scale), constant(zero_point)
        if scale is None or scale.size != 1 or dtype_of(binding.var) != "int8":
            return None
        epilogue = _Epilogue(float(scale), int(zero_point))
        inner = [real]
        while op_name(self.values.get(real)) in ("relax.nn.relu", "relax.clip"):
            epilogue.absorb(self.values[real])
            real = self.values[real].args[0]
            inner.append(real)
        matched = self._core(real, epilogue)
        if matched is None:
            return None
        lowered, core = matched
        group = _Group(inner + core, lowered)
        return group if self._closed(group, binding) else None

    def _closed(self, group: _Group, quantize) -> bool:
        """Whether only the group itself and masks read its inner values; collects the masks."""
        own = [*group.inner, quantize.var]
        for var in group.inner:
            for reader in self.consumers.get(var, []):
                if op_name(reader.value) in MASKS:
                    group.masks.append(reader.var)
                elif not any(reader.var.same_as(v) for v in own):
                    return False
        return True

    # -- the operators -------------------------------------------------------------------------

    def _core(self, real, epilogue):
        """The call on codes for the operator that gives `real`, and the values inside it."""
        value = self.values.get(real)
        name = op_name(value)
        if name == "relax.nn.conv2d":
            lowered = self._conv2d(real, None, epilogue)
            return None if lowered is None else (lowered, [])
        if name == "relax.mean":
            return self._mean(real, epilogue)
        if name == "relax.add":
            for conv, bias in (value.args, reversed(value.args)):
                if op_name(self.values.get(conv)) == "relax.nn.conv2d":
                    lowered = self._conv2d(conv, bias, epilogue)
                    return None if lowered is None else (lowered, [conv])
            return self._add(real, epilogue)
        return None

    def _codes(self, real):
        """(codes, scale, zero point) of a per-tensor dequantize, or None."""
        value = self.values.get(real)
        if op_name(value) != "relax.dequantize" or dtype_of(value.args[0]) != "int8":
            return None
        scale, zero_point = constant(value.args[1]), constant(value.args[2])
        if scale is None or scale.size != 1:
            return None
        return value.args[0], float(scale), int(zero_point)

    def _conv2d(self, real, bias, epilogue):
        conv = self.values[real]
        data = self._codes(conv.args[0])
        weight = self.values.get(conv.args[1])
        if data is None or op_name(weight) != "relax.dequantize":
            return None
        taps = int(np.prod(shape_of(conv.args[1])[1:]))
        scale = np.asarray(constant(weight.args[1]), np.float64) * data[1]
        bias_codes = self._bias(bias, scale, shape_of(real)[1])
        if bias_codes is None or taps > MAX_TAPS:
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
            rounding=rounding,
            **geometry(conv.attrs),
            **epilogue.attributes(shape_of(real)),
        )

    def _bias(self, bias, scale, channels):
        """int32 bias codes at the accumulator's scale, zeros for none, None if of another scale."""
        if bias is None:
            return relax.const(np.zeros(channels, np.int32))
        reshape = self.values.get(bias)
        if op_name(reshape) != "relax.reshape":
            return None
        dequantize = self.values.get(reshape.args[0])
        if op_name(dequantize) != "relax.dequantize" or dtype_of(dequantize.args[0]) != "int32":
            return None
        own = np.asarray(constant(dequantize.args[1]), np.float64)
        return dequantize.args[0] if np.allclose(own, scale, rtol=1e-5, atol=0) else None

    def _add(self, real, epilogue):
        left, right = (self._codes(arg) for arg in self.values[real].args)
        shapes = {shape_of(arg) for arg in self.values[real].args}
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
        ), []

    def _mean(self, real, epilogue):
        mean = self.values[real]
        data = self._codes(mean.args[0])
        axes = [int(a) for a in mean.attrs.axis or ()]
        if data is None or axes != [2, 3] or not mean.attrs.keepdims:
            return None
        _, _, height, width = shape_of(mean.args[0])
        scale = data[1] / (height * width)
        multiplier, shift, rounding = requantization(np.array([scale / epilogue.scale]))
        low, high = epilogue.bounds(scale)
        return call(
            "qmean",
            data[0],
            input_zero_point=data[2],
            multiplier=int(multiplier[0]),
            shift=int(shift[0]),
            rounding=rounding,
            activation=epilogue.active,
            acc_low=int(low),
            acc_high=int(high),
            **epilogue.attributes(shape_of(real)),
        ), []


class _Epilogue:
    """Scale, zero point and the activation between an operator and its quantize."""

    def __init__(self, scale: float, zero_point: int):
        self.scale, self.zero_point = scale, zero_point
        self.low, self.high = -np.inf, np.inf  # in the real domain
        self.open_low = False  # a ReLU's gradient is 0 at 0 itself

    @property
    def active(self) -> bool:
        return bool(np.isfinite(self.low) or np.isfinite(self.high))

    def absorb(self, activation: relax.Call):
        low, high, is_relu = 0.0, np.inf, op_name(activation) == "relax.nn.relu"
        if not is_relu:
            low, high = (float(bound.value) for bound in activation.args[1:3])
        if low > self.low:
            self.open_low = is_relu
        elif low == self.low:
            self.open_low |= is_relu
        self.low, self.high = max(self.low, low), min(self.high, high)

    def bounds(self, scale, limit: int = INT32_MAX) -> tuple[np.ndarray, np.ndarray]:
        """Least and greatest accumulator of that scale for which the gradient passes."""
        with np.errstate(divide="ignore", invalid="ignore"):
            low = np.nan_to_num(np.ceil(np.float64(self.low) / scale), nan=0.0)
            high = np.nan_to_num(np.floor(np.float64(self.high) / scale), nan=0.0)
        low = low + 1 if self.open_low else low
        return tuple(np.clip(b, -limit, limit).astype(np.int64) for b in (low, high))

    def attributes(self, shape) -> dict:
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


def _with_mask(lowered: relax.Call) -> relax.Call:
    attrs = {key: lowered.attrs[key] for key in lowered.attrs.keys()}
    attrs["mask"] = True
    return relax.Call(lowered.op, lowered.args, tvm.ir.make_node("ir.DictAttrs", **attrs))
