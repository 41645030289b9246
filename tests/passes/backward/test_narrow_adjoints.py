"""Which adjoints `NarrowAdjoints` encodes, and what that does to gradients."""

from functools import cache

import numpy as np
import pytest
import tiny
import tvm
from instruments.interpreter import Interpreter
from shared import slow_after
from tvm import relax

from relay_passes import (
    EliminateDeadGradients,
    NarrowAdjoints,
    SparseBackward,
    SplitParameters,
    lowering,
)
from relay_passes.backward.narrow_adjoints import LEAST_ELEMENTS
from relay_passes.formats import FORMATS
from relay_passes.graph import bindings_of, op_name, shape_of
from relay_passes.memory.read_step import read_step
from relay_passes.ops.convolution import conv2d_input_grad, conv2d_weight_grad
from relay_passes.ops.precision import decode, encode
from relay_passes.ops.update import sgd_update

IMAGE = (1, 8, 8, 8)
op = relax.op


def canonical(module):
    """Without aliases and what nobody reads, so that structures can be compared."""
    passes = [relax.transform.CanonicalizeBindings(), relax.transform.DeadCodeElimination()]
    return tvm.transform.Sequential(passes)(module)


def step(body, weights: dict, image=IMAGE, dtype="float32", target=None) -> tvm.IRModule:
    """The training step of ``sum(body(emit, x, *weights) * target)`` for all `weights`."""

    def loss(emit, x, target, *variables):
        return emit(op.sum(emit(op.multiply(body(emit, x, *variables), target))))

    leading = {"x": (image, dtype), "target": (target or image, "float32")}
    module = tiny.module({**leading, **weights}, loss)
    passes = [SparseBackward(list(weights)), EliminateDeadGradients()]
    return tvm.transform.Sequential(passes)(module)


def encoded(module) -> list[tuple[str, tuple[int, ...]]]:
    """Operator and shape of each adjoint that `NarrowAdjoints` encodes, in order."""
    bindings = bindings_of(NarrowAdjoints("bfloat16")(module)["main"])
    producers = {b.var: op_name(b.value).removeprefix("relax.") for b in bindings}
    stored = [b.value.args[0] for b in bindings if op_name(b.value) == "relax.odt.encode"]
    return [(producers[var], shape_of(var)) for var in stored]


def conv(emit, data, weight):
    return emit(op.nn.conv2d(data, weight, padding=1))


@pytest.mark.parametrize("format, dtype", FORMATS.items())
def test_an_adjoint_is_encoded_once_and_decoded_for_all_its_readers(format, dtype):
    weight = (8, 8, 1, 1)

    def chain(emit, x, w, v):
        return emit(op.nn.conv2d(emit(op.nn.conv2d(x, w)), v))

    def body(emit, x, target, learning_rate, _seed, w, v):
        y = emit(op.nn.conv2d(x, w))
        convolution = op.nn.conv2d(y, v)
        loss = emit(op.sum(emit(op.multiply(emit(convolution), target))))
        ones = emit(op.broadcast_to(emit(op.ones((), "float32")), IMAGE))
        bits = emit(encode(emit(op.multiply(ones, target)), format))
        assert bits.ty.dtype == dtype
        d_z = emit(decode(bits, format))
        attrs = convolution.attrs
        bits = emit(encode(emit(conv2d_input_grad(d_z, v, IMAGE, attrs)), format))
        d_y = emit(decode(bits, format))
        d_v = emit(conv2d_weight_grad(d_z, y, weight, attrs))
        d_w = emit(conv2d_weight_grad(d_y, x, weight, attrs))
        return [loss, *(emit(sgd_update(p, d, learning_rate)) for p, d in ((w, d_w), (v, d_v)))]

    weights = {"w": (weight, "float32"), "v": (weight, "float32")}
    image = (IMAGE, "float32")
    state = {"learning_rate": ((), "float32"), "seed": ((), "uint32")}
    main = tiny.module({"x": image, "target": image, **state, **weights}, body)["main"]
    main = main.with_attrs({"trained_parameters": ["w", "v"], "backward": format})
    expected = tvm.IRModule({"main": main})
    narrowed = NarrowAdjoints(format)(step(chain, weights))
    tvm.ir.assert_structural_equal(canonical(narrowed), canonical(expected), True)


CONV = ((8, 8, 3, 3), "float32")


def relu_between(emit, x, w, v):
    return conv(emit, emit(op.nn.relu(conv(emit, x, w))), v)


def read_twice(emit, x, w, v):
    hidden = conv(emit, x, w)
    return emit(op.add(conv(emit, hidden, v), hidden))


LOSS = ("multiply", IMAGE)  # the adjoint of what the loss reads


@pytest.mark.parametrize(
    "body, weights, found",
    [
        # the convolution's own adjoint becomes one kernel with the mask: it is not stored
        (relu_between, {"w": CONV, "v": CONV}, [LOSS, ("odt.masked", IMAGE)]),
        # nor is one of the two branches; their sum is
        (read_twice, {"w": CONV, "v": CONV}, [LOSS, ("add", IMAGE)]),
    ],
)
def test_what_one_elementwise_operator_reads_is_not_encoded(body, weights, found):
    assert encoded(step(body, weights)) == found


@pytest.mark.parametrize("channels", [8, LEAST_ELEMENTS])
def test_gradients_of_parameters_are_not_encoded(channels):
    """Also those that are as large as an activation, and have its rank."""
    image = (1, channels, 2, 2)
    weights = {"w": ((channels, 1, 3, 3), "float32"), "b": ((channels,), "float32")}

    def depthwise(emit, x, w, b):
        hidden = emit(op.nn.conv2d(x, w, padding=1, groups=channels))
        return emit(op.add(hidden, emit(op.reshape(b, (1, -1, 1, 1)))))

    large = channels == LEAST_ELEMENTS
    assert encoded(step(depthwise, weights, image)) == ([("multiply", image)] if large else [])


def test_the_gradient_of_one_output_channel_is_not_encoded():
    """Its weight has the shape of an activation."""
    target = (1, 1, 16, 16)
    module = step(conv, {"w": ((1, 32, 3, 3), "float32")}, (1, 32, 16, 16), target=target)
    assert encoded(module) == [("multiply", target)]


def test_activations_that_the_backward_reads_are_not_encoded():
    """The saved input of the channels that train, dequantized behind the loss, is no adjoint."""
    image = (1, 16, 8, 8)

    def loss(emit, x, target, w):
        result = conv(emit, emit(tiny.dequantize(x, 0.5)), w)
        return emit(op.sum(emit(op.multiply(result, target))))

    parameters = {"x": (image, "int8"), "target": (IMAGE, "float32")}
    module = tiny.module({**parameters, "w": ((8, 16, 3, 3), "float32")}, loss)
    for apply in (
        SplitParameters({"w": range(8)}),
        SparseBackward(["w"]),
        EliminateDeadGradients(),
    ):
        module = apply(module)
    names = tiny.op_names(module)
    assert "dequantize" in names[names.index("sum") :]
    assert encoded(module) == [LOSS]


@pytest.mark.parametrize("height, narrow", [(7, False), (8, True)])
def test_small_adjoints_are_not_encoded(height, narrow):
    image = (1, 4, 8, height)
    assert np.prod(image) == (LEAST_ELEMENTS if narrow else LEAST_ELEMENTS - 32)
    module = step(conv, {"w": ((4, 4, 3, 3), "float32")}, image)
    assert encoded(module) == ([("multiply", image)] if narrow else [])
    if not narrow:
        assert NarrowAdjoints("float8")(module).same_as(module)


def test_float32_leaves_the_module_alone():
    module = step(relu_between, {"w": CONV, "v": CONV})
    assert NarrowAdjoints("float32")(module).same_as(module)


def test_an_unknown_format_is_refused():
    with pytest.raises(ValueError, match="NarrowAdjoints") as caught:
        NarrowAdjoints("int4")
    message = 'NarrowAdjoints: unknown format "int4"; known are float32, bfloat16, float8.'
    assert str(caught.value) == message


WEIGHTS = {
    "first": (8, 4, 3, 3),
    "bias": (8,),
    "expand": (16, 8, 1, 1),
    "depthwise": (16, 1, 3, 3),
    "project": (8, 16, 1, 1),
    "last": (8, 8, 3, 3),
}
SCALES = {"x": 0.05, "bias": 0.0005}  # of the others: 0.01


@cache
def residual_net(quantized: bool):
    """A step that trains all `WEIGHTS`, around a residual block, and the values that it reads."""
    generator = np.random.default_rng(4)
    image = (1, 4, 8, 8)

    def real(emit, name, codes):
        if not quantized:
            return codes
        return emit(tiny.dequantize(codes, SCALES.get(name, 0.01), dtype=str(codes.ty.dtype)))

    def coded(emit, data, scale, zero_point):
        if not quantized:
            return data
        codes = emit(tiny.quantize(data, scale, zero_point))
        return emit(tiny.dequantize(codes, scale, zero_point))

    def active(emit, data):
        return coded(emit, emit(op.nn.relu(data)), 0.05, -128)

    def body(emit, x, *parameters):
        w = {n: real(emit, n, p) for n, p in zip(WEIGHTS, parameters, strict=True)}
        hidden = conv(emit, real(emit, "x", x), w["first"])
        bias = emit(op.reshape(w["bias"], (1, -1, 1, 1)))
        hidden = active(emit, emit(op.add(hidden, bias)))
        wide = active(emit, emit(op.nn.conv2d(hidden, w["expand"])))
        wide = emit(op.nn.conv2d(wide, w["depthwise"], padding=1, groups=16))
        wide = active(emit, wide)
        narrow = coded(emit, emit(op.nn.conv2d(wide, w["project"])), 0.1, 0)
        return conv(emit, coded(emit, emit(op.add(narrow, hidden)), 0.1, 0), w["last"])

    codes = {name: generator.integers(-60, 61, shape) for name, shape in WEIGHTS.items()}
    codes["x"] = generator.integers(-128, 128, image)
    if quantized:
        values = {n: c.astype("int32" if n == "bias" else "int8") for n, c in codes.items()}
    else:
        values = {n: (c * SCALES.get(n, 0.01)).astype(np.float32) for n, c in codes.items()}
    weights = {name: (shape, str(values[name].dtype)) for name, shape in WEIGHTS.items()}
    module = step(body, weights, image, str(values["x"].dtype), target=IMAGE)
    return module, {**values, "target": generator.normal(0, 0.01, IMAGE).astype(np.float32)}


@pytest.mark.parametrize("format, bound", [("bfloat16", 0.02), ("float8", 0.2)])
@pytest.mark.parametrize("quantized", [False, True], ids=["float", "int8"])
def test_gradients_are_close_to_those_of_float32(quantized, format, bound):
    module, values = residual_net(quantized)
    exact = tiny.gradients(module, **values)
    narrow = tiny.gradients(NarrowAdjoints(format)(module), **values)
    assert set(narrow) == set(WEIGHTS)
    for name, gradient in exact.items():
        difference = np.linalg.norm(narrow[name] - gradient) / np.linalg.norm(gradient)
        assert 0 < difference <= bound, (name, difference)


def updated(module, fuse: bool, values) -> dict[str, np.ndarray]:
    """The loss and all parameters after one step."""
    state = {"learning_rate": np.float32(0.5), "seed": np.uint32(3)}
    interpreter = Interpreter(read_step(lowering(fuse)(module)), {**state, **values})
    loss = interpreter.run()[interpreter.step.results[0].name]
    return {"loss": loss, **{name: interpreter.parameters[name] for name in WEIGHTS}}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("quantized", slow_after(1, [True, False], ["int8", "float"]))
def test_fusion_changes_no_bit_and_the_loss_is_that_of_float32(quantized, format):
    module, values = residual_net(quantized)
    narrowed = NarrowAdjoints(format)(module)
    fused, plain = (updated(narrowed, fuse, values) for fuse in (True, False))
    for name, value in plain.items():
        np.testing.assert_array_equal(fused[name], value, err_msg=name)
    exact = updated(module, True, values)
    assert fused["loss"] == exact["loss"]
    assert any(not np.array_equal(fused[name], exact[name]) for name in WEIGHTS)


@pytest.mark.parametrize("format, dtype", FORMATS.items())
def test_no_kernel_hands_a_large_float32_adjoint_to_another(format, dtype):
    module, _ = residual_net(quantized=True)
    program = read_step(lowering()(NarrowAdjoints(format)(module)))
    loss = next(i for i, o in enumerate(program.tasks) if program.results[0] in o.outputs)
    large = [
        tensor.dtype
        for operation in program.tasks[loss + 1 :]
        for tensor in operation.outputs
        if tensor.role == "temporary" and np.prod(tensor.shape) >= LEAST_ELEMENTS
    ]
    assert large and set(large) == {dtype}
