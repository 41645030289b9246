"""How each operator of an imported model is written in canonical form.

``HANDLERS[name](canonicalizer, call)`` returns the `Value` or `Parameter` that the call gives.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from tvm import relax

from relay_passes.graph import dtype_of, op_name, shape_of

from ..errors import OdtError
from .canonicalize import NHWC, Canonicalizer, Value
from .parameters import Parameter

HANDLERS = {}


def handles(*names):
    def register(function):
        for name in names:
            HANDLERS[f"relax.{name}"] = function
        return function

    return register


def _identity(var) -> Value:
    return Value(var, tuple(range(len(shape_of(var)))))


# -- quantization -------------------------------------------------------------------------------


@handles("quantize")
def quantize(c: Canonicalizer, call):
    data = c.read(call.args[0])
    scale, zero_point = c.quantization(call)
    if isinstance(data, Parameter):
        codes = np.clip(np.rint(data.value / np.float32(scale)) + zero_point, -128, 127)
        return Parameter.quantized(data.name, codes.astype(np.int8), scale, zero_point, 0)
    var = data.var
    if c.decoded.get(var, ())[1:] == (scale, zero_point):
        return replace(data, var=c.decoded[var][0])  # decoded and encoded alike: the same codes
    if dtype_of(var) == "int8":  # requantize: codes to codes of another scale
        var = c.emit_dequantize(var, c.codes[var].scale, c.codes[var].zero_point)
    return replace(data, var=c.emit_quantize(var, scale, zero_point))


@handles("dequantize")
def dequantize(c: Canonicalizer, call):
    data = c.read(call.args[0])
    if isinstance(data, Parameter):
        scale, zero_point = (np.asarray(c.read(a).value) for a in call.args[1:3])
        value = data.value
        if value.dtype == np.uint8:
            value = (value.astype(np.int16) - 128).astype(np.int8)
            zero_point = zero_point.astype(np.int16) - 128
        if scale.size == 1 and value.dtype == np.int8 and np.any(zero_point != 0):
            scale = np.asarray(scale, np.float32).reshape(())
            real = (value.astype(np.float32) - zero_point.astype(np.float32)) * scale
            return Parameter(data.name, real.astype(np.float32))
        return Parameter.quantized(data.name, value, scale, zero_point, int(call.attrs.axis))
    scale, zero_point = c.quantization(call)
    return replace(data, var=c.emit_dequantize(data.var, scale, zero_point))


@handles("astype")
def astype(c: Canonicalizer, call):
    data = c.read(call.args[0])
    if isinstance(data, Parameter):
        return replace(data, value=data.value.astype(str(call.attrs.dtype)))
    if dtype_of(data.var) == "int8":
        return data  # integer widening around TFLite's pools: the pool itself works on reals
    return replace(data, var=c.emit(relax.op.astype(data.var, call.attrs.dtype)))


def _on_reals(c: Canonicalizer, var, function):
    """Apply `function` to real values; int8 codes go through dequantize and quantize."""
    if dtype_of(var) != "int8":
        return c.emit(function(var))
    codes = c.codes[var]
    real = c.emit(function(c.emit_dequantize(var, codes.scale, codes.zero_point)))
    return c.emit_quantize(real, codes.scale, codes.zero_point)


# -- elementwise --------------------------------------------------------------------------------


@handles("clip")
def clip(c: Canonicalizer, call):
    data = c.read(call.args[0])
    low, high = (float(bound.value) for bound in call.args[1:3])
    var = data.var
    if dtype_of(var) != "int8":
        return replace(data, var=c.emit(relax.op.clip(var, low, high)))
    codes = c.codes[var]
    if low <= -128 and high >= 127:
        return data
    # clamping codes is quantizing clamped reals, where the gradient's mask is a comparison
    low, high = ((bound - codes.zero_point) * codes.scale for bound in (low, high))
    clipped = c.emit(relax.op.clip(codes.real, low, high))
    return replace(data, var=c.emit_quantize(clipped, codes.scale, codes.zero_point))


def _unary(c: Canonicalizer, call):
    data = c.read(call.args[0])
    operator = getattr(relax.op.nn, op_name(call).split(".")[-1], None) or getattr(
        relax.op, op_name(call).split(".")[-1]
    )
    return replace(data, var=_on_reals(c, data.var, operator))


for _name in ("nn.relu", "sigmoid", "tanh", "exp", "log", "negative", "sqrt", "nn.silu", "abs"):
    handles(_name)(_unary)


def _binary(c: Canonicalizer, call):
    operator = getattr(relax.op, op_name(call).split(".")[-1])
    left, right = (c.read(a) for a in call.args)
    if isinstance(left, Parameter) and isinstance(right, Parameter):
        function = getattr(np, op_name(call).split(".")[-1])
        return Parameter(None, function(left.value, right.value))
    tensor = left if isinstance(left, Value) else right
    perm = tensor.perm
    operands = [
        _broadcast(c, operand, tensor, call) if isinstance(operand, Parameter) else operand
        for operand in (left, right)
    ]
    if _aligned(*operands):
        variables = [operand.var for operand in operands]
    else:
        variables = [c.physical(operand) for operand in operands]
        perm = tuple(range(max(len(o.perm) for o in operands)))
    var = c.emit(operator(*variables))
    _remember_bias(c, call, operands, var)
    return Value(var, perm)


for _name in ("add", "subtract", "multiply", "divide", "maximum", "minimum"):
    handles(_name)(_binary)


def _aligned(left: Value, right: Value) -> bool:
    ranks = {len(shape_of(operand.var)) for operand in (left, right)}
    return left.perm == right.perm and len(ranks) == 1


def _broadcast(c: Canonicalizer, parameter: Parameter, other: Value, call) -> Value:
    """A constant operand, broadcast to the rank of the other one and in its axis order.

    A vector along one axis (a bias) stays a vector parameter and is reshaped in the graph.
    """
    rank = len(other.perm)
    if parameter.value.ndim > rank:
        raise OdtError(f"{c.name}: a constant of {parameter.value.ndim} axes in {op_name(call)}")
    logical = (1,) * (rank - parameter.value.ndim) + parameter.value.shape
    order = sorted(range(rank), key=lambda i: other.perm[i])
    shape = [1] * len(shape_of(other.var))
    for axis, extent in zip(other.perm, logical, strict=True):
        shape[axis] = extent
    lifted = parameter.map(lambda a: np.transpose(a.reshape(logical), order).reshape(shape))
    perm = other.perm
    long_axes = [n for n in shape if n > 1]
    if len(long_axes) <= 1 and parameter.value.dtype != np.int64:
        flat = lifted.map(lambda a: a.reshape(-1))
        var = c.emit_parameter(flat, _bias_name(c, call))
        if len(shape) == 1:
            return Value(var, perm)
        reshaped = c.emit(relax.op.reshape(var, shape))
        c.parameter_names[reshaped] = c.parameter_names[var]
        return Value(reshaped, perm)
    return Value(c.emit_parameter(lifted), perm)


def _linear_operand(c: Canonicalizer, call):
    for arg in call.args:
        value = c.read(arg)
        if isinstance(value, Value) and value.var in c.linear:
            return value.var
    return None


def _bias_name(c: Canonicalizer, call) -> str:
    linear = _linear_operand(c, call)
    if linear is None or op_name(call) != "relax.add":
        return op_name(call).removeprefix("relax.") + ".constant"
    return c.linear[linear][0].removesuffix(".weight") + ".bias"


def _remember_bias(c: Canonicalizer, call, operands, var):
    linear = _linear_operand(c, call)
    names = [c.parameter_names[o.var] for o in operands if o.var in c.parameter_names]
    if linear is not None and op_name(call) == "relax.add" and names:
        weight, bias = c.linear[linear]
        if bias is None:
            c.linear[var] = (weight, names[0])


# -- linear layers ------------------------------------------------------------------------------


def _weight_name(c: Canonicalizer, kind: str) -> str:
    c.linear_count += 1
    return f"{kind}{c.linear_count - 1}.weight"


@handles("nn.conv2d")
def conv2d(c: Canonicalizer, call):
    attrs = call.attrs
    layout, kernel = str(attrs.data_layout), str(attrs.kernel_layout)
    perm = {"NCHW": (0, 1, 2, 3), "NHWC": NHWC}.get(layout)
    weight = c.read(call.args[1])
    if perm is None or not isinstance(weight, Parameter):
        raise OdtError(f"{c.name}: conv2d needs NCHW or NHWC data and a constant weight")
    weight = weight.map(lambda a: np.transpose(a, [kernel.index(axis) for axis in "OIHW"]))
    groups = int(attrs.groups)
    if groups > 1 and weight.value.shape[1] != shape_of(call.args[0])[layout.index("C")] // groups:
        # a depthwise kernel stored as (1, C*M): the multiplier lies on the input axis
        weight = weight.map(lambda a: a.reshape(-1, 1, *a.shape[2:]))
    data = c.tensor(call.args[0], perm)
    parameter = c.emit_parameter(weight, _weight_name(c, "conv"))
    var = c.emit(
        relax.op.nn.conv2d(
            data,
            parameter,
            strides=attrs.strides,
            padding=attrs.padding,
            dilation=attrs.dilation,
            groups=groups,
        )
    )
    c.linear[var] = (c.parameter_names[parameter], None)
    return Value(var, perm)


@handles("matmul")
def matmul(c: Canonicalizer, call):
    """``x @ W`` with one row and a constant W becomes a 1x1 convolution, one rule for both."""
    weight = c.read(call.args[1])
    shape = shape_of(call.args[0])
    if not isinstance(weight, Parameter) or weight.value.ndim != 2 or int(np.prod(shape[:-1])) != 1:
        operands = [c.tensor(a) for a in call.args]
        return _identity(c.emit(relax.op.matmul(*operands)))
    weight = weight.map(lambda a: np.ascontiguousarray(a.T)[:, :, None, None])
    inputs = weight.value.shape[1]
    column = c.physical(_reshaped(c, c.read(call.args[0]), (1, inputs, 1, 1)))
    parameter = c.emit_parameter(weight, _weight_name(c, "dense"))
    var = c.emit(relax.op.nn.conv2d(column, parameter))
    c.linear[var] = (c.parameter_names[parameter], None)
    if len(shape) == 2:
        return Value(var, (0, 1))
    return _reshaped(c, Value(var, (0, 1, 2, 3)), shape_of(call))


@handles("nn.batch_norm")
def batch_norm(c: Canonicalizer, call):
    """Inference batch norm: an affine map, folded into the layer that feeds it where one does.

    With one sample a step batch statistics mean nothing; the trained statistics stay.
    """
    gamma, beta, mean, variance = (c.read(a).value for a in call.args[1:5])
    factor = gamma / np.sqrt(variance + float(call.attrs.epsilon))
    shift = beta - mean * factor
    data = c.read(call.args[0])
    axis = data.perm[int(call.attrs.axis)]
    shape = [1] * len(data.perm)
    shape[axis] = factor.size
    if len(c.consumers.get(call.args[0], [])) == 1 and _foldable(c, data.var, factor.size):
        weight, bias = c.linear[data.var]
        rows = factor.reshape(-1, 1, 1, 1)
        c.values[weight] = (c.values[weight] * rows).astype(np.float32)
        if bias is not None:
            c.values[bias] = (c.values[bias] * factor + shift).astype(np.float32)
            return data
        name, var = weight.removesuffix(".weight") + ".bias", data.var
    else:
        scale = c.emit_parameter(Parameter(None, factor.astype(np.float32)), "batch_norm.scale")
        var = c.emit(relax.op.multiply(data.var, c.emit(relax.op.reshape(scale, shape))))
        name = "batch_norm.shift"
    bias = c.emit_parameter(Parameter(None, shift.astype(np.float32)), name)
    var = c.emit(relax.op.add(var, c.emit(relax.op.reshape(bias, shape))))
    return replace(data, var=var)


def _foldable(c: Canonicalizer, var, channels: int) -> bool:
    """Whether `var` is a float32 layer's output, whose parameters are that layer's alone."""
    names = [name for name in c.linear.get(var, ()) if name is not None]
    biases = [c.values[name].shape for name in names[1:]]
    own = not c.shared_parameters.intersection(names)
    floats = all(c.values[name].dtype == np.float32 for name in names)
    return bool(names) and own and floats and all(shape == (channels,) for shape in biases)


# -- shape and pooling --------------------------------------------------------------------------


@handles("permute_dims")
def permute_dims(c: Canonicalizer, call):
    data = c.read(call.args[0])
    rank = data.value.ndim if isinstance(data, Parameter) else len(data.perm)
    axes = [int(a) for a in call.attrs.axes] if call.attrs.axes else list(range(rank))[::-1]
    if isinstance(data, Parameter):
        return data.map(lambda a: np.transpose(a, axes))
    return replace(data, perm=tuple(data.perm[a] for a in axes))


def _reshape(c: Canonicalizer, call):
    data = c.read(call.args[0])
    shape = shape_of(call)
    if isinstance(data, Parameter):
        return data.map(lambda a: a.reshape(shape))
    return _reshaped(c, data, shape)


def _reshaped(c: Canonicalizer, data: Value, shape: tuple[int, ...]) -> Value:
    """`data` with logical `shape`; nothing is emitted where only unit axes come or go."""
    physical = shape_of(data.var)
    if shape == tuple(physical[p] for p in data.perm):
        if len(shape) == len(physical) or len(shape) < 4:
            return data
    long_axes = [p for p, extent in enumerate(physical) if extent > 1]
    if len(long_axes) <= 1 and len(shape) <= len(physical):
        unit = iter(p for p in range(len(physical)) if p not in long_axes)
        return Value(data.var, tuple(long_axes[0] if n > 1 else next(unit) for n in shape))
    moved = [p for p in data.perm if physical[p] > 1]
    var = data.var if moved == sorted(moved) else c.physical(data)
    return _identity(c.emit_moved(var, lambda v: relax.op.reshape(v, shape)))


for _name in ("reshape", "flatten", "expand_dims", "squeeze"):
    handles(_name)(_reshape)


@handles("mean")
def mean(c: Canonicalizer, call):
    data = c.read(call.args[0])
    axes = [int(a) % len(data.perm) for a in (call.attrs.axis or range(len(data.perm)))]
    physical = sorted(data.perm[a] for a in axes)
    var = _on_reals(c, data.var, lambda v: relax.op.mean(v, physical, True))
    if call.attrs.keepdims:
        return replace(data, var=var)
    return Value(var, tuple(p for i, p in enumerate(data.perm) if i not in axes))


def _pool(c: Canonicalizer, call):
    perm = NHWC if str(call.attrs.layout) == "NHWC" else (0, 1, 2, 3)
    data = c.tensor(call.args[0], perm)
    attrs = call.attrs
    average = op_name(call).endswith("avg_pool2d")
    whole = [int(n) for n in attrs.pool_size] == list(shape_of(data)[2:])
    if average and whole and not any(int(p) for p in attrs.padding):
        return Value(_on_reals(c, data, lambda v: relax.op.mean(v, [2, 3], True)), perm)
    options = {
        "pool_size": attrs.pool_size,
        "strides": attrs.strides,
        "padding": attrs.padding,
        "dilation": attrs.dilation,
        "ceil_mode": attrs.ceil_mode,
        "count_include_pad": attrs.count_include_pad,
    }
    if average:
        return Value(_on_reals(c, data, lambda v: relax.op.nn.avg_pool2d(v, **options)), perm)
    # a maximum of codes is the code of the maximum: no need to decode
    return Value(c.emit_moved(data, lambda v: relax.op.nn.max_pool2d(v, **options)), perm)


for _name in ("nn.max_pool2d", "nn.avg_pool2d"):
    handles(_name)(_pool)


@handles("nn.adaptive_avg_pool2d")
def adaptive_avg_pool2d(c: Canonicalizer, call):
    perm = NHWC if str(call.attrs.layout) == "NHWC" else (0, 1, 2, 3)
    if [int(n) for n in call.attrs.output_size or ()] != [1, 1]:
        raise OdtError(f"{c.name}: adaptive_avg_pool2d is supported for an output of 1x1 only")
    data = c.tensor(call.args[0], perm)
    return Value(_on_reals(c, data, lambda v: relax.op.mean(v, [2, 3], True)), perm)


@handles("concat")
def concat(c: Canonicalizer, call):
    parts = [c.read(field) for field in call.args[0].fields]
    if any(isinstance(p, Parameter) for p in parts) or len({dtype_of(p.var) for p in parts}) > 1:
        raise OdtError(f"{c.name}: concat of constants or of mixed types is unsupported")
    perm = parts[0].perm
    axis = int(call.attrs.axis or 0) % len(perm)
    if all(_aligned(parts[0], p) for p in parts[1:]):
        variables = [p.var for p in parts]
    else:
        variables = [c.physical(p) for p in parts]
        perm = tuple(range(len(perm)))
    if dtype_of(variables[0]) != "int8":
        return Value(c.emit(relax.op.concat(variables, perm[axis])), perm)
    reals = [c.emit_dequantize(v, c.codes[v].scale, c.codes[v].zero_point) for v in variables]
    codes = c.codes[variables[0]]
    joined = c.emit(relax.op.concat(reals, perm[axis]))
    return Value(c.emit_quantize(joined, codes.scale, codes.zero_point), perm)


def _softmax(c: Canonicalizer, call):
    data = c.read(call.args[0])
    axis = data.perm[int(call.attrs.axis) % len(data.perm)]
    operator = getattr(relax.op.nn, op_name(call).split(".")[-1])
    return replace(data, var=_on_reals(c, data.var, lambda v: operator(v, axis)))


for _name in ("nn.softmax", "nn.log_softmax"):
    handles(_name)(_softmax)


@handles("nn.dropout")
def dropout(c: Canonicalizer, call):
    """Inference dropout is the identity."""
    return c.read(call.args[0])


@handles("shape_of")
def shape_of_tensor(c: Canonicalizer, call):
    return Parameter(None, np.asarray(shape_of(call.args[0]), np.int64))


@handles("zeros_like")
def zeros_like(_c: Canonicalizer, call):
    """PyTorch's importer pairs a max pool with indices that nobody reads."""
    return Parameter(None, np.zeros(shape_of(call), np.float32))
