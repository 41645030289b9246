"""Structure of the training step that `SparseBackward` makes."""

import zlib

import numpy as np
import pytest
import tiny
import tvm
from structure import assert_same, canonical, refusal
from tvm import relax
from tvm.script import ir as I
from tvm.script import relax as R

import tvm_ondevice_train
from relay_passes import SparseBackward
from relay_passes.graph import bindings_of, constant, op_name, shape_of, variables_in
from relay_passes.ops.channels import indices_of, merge_channels, take_channels
from relay_passes.ops.masks import code_range_mask, masked, positive_mask
from relay_passes.ops.registry import call
from relay_passes.ops.update import sgd_update, sgd_update_codes
from tvm_ondevice_train.scheme.update_scheme import UpdateScheme

SHAPE = (1, 4)
FLOAT = (SHAPE, "float32")


@I.ir_module
class Residual:
    """``h`` is read twice, as in a residual block."""

    @R.function
    def main(
        x: R.Tensor((1, 4), "float32"),
        target: R.Tensor((1, 4), "float32"),
        w: R.Tensor((1, 4), "float32"),
        v: R.Tensor((1, 4), "float32"),
    ):
        with R.dataflow():
            h = R.multiply(x, w)
            y = R.multiply(h, v)
            z = R.add(y, h)
            weighted = R.multiply(z, target)
            loss = R.sum(weighted)
            R.output(loss)
        return loss


def expected_step(parameters, trained, body):
    """The canonical training step with `body`, as `SparseBackward` should have made it."""
    state = {"learning_rate": ((), "float32"), "seed": ((), "uint32")}
    leading = {"x": FLOAT, "target": FLOAT}
    step = tiny.module({**leading, **state, **parameters}, body)["main"]
    step = step.with_attr("trained_parameters", list(trained))
    return canonical(tvm.IRModule({"main": step}))


def residual_forward(emit, x, target, w, v):
    hidden = emit(relax.op.multiply(x, w))
    total = emit(relax.op.add(emit(relax.op.multiply(hidden, v)), hidden))
    loss = emit(relax.op.sum(emit(relax.op.multiply(total, target))))
    ones = emit(relax.op.ones((), "float32"))
    adjoint = emit(relax.op.multiply(emit(relax.op.broadcast_to(ones, SHAPE)), target))
    return hidden, loss, adjoint


def test_residual_fan_out_adds_the_adjoints_of_both_branches():
    def body(emit, x, target, learning_rate, _seed, w, v):
        _hidden, loss, d_total = residual_forward(emit, x, target, w, v)
        d_hidden = emit(relax.op.add(d_total, emit(relax.op.multiply(d_total, v))))
        d_weight = emit(relax.op.multiply(d_hidden, x))
        return [loss, emit(sgd_update(w, d_weight, learning_rate))]

    expected = expected_step({"w": FLOAT, "v": FLOAT}, ["w"], body)
    tvm.ir.assert_structural_equal(canonical(SparseBackward({"w"})(Residual)), expected, True)


def test_nothing_is_computed_below_the_first_trained_parameter():
    def body(emit, x, target, learning_rate, _seed, w, v):
        hidden, loss, d_total = residual_forward(emit, x, target, w, v)
        d_weight = emit(relax.op.multiply(d_total, hidden))
        return [loss, emit(sgd_update(v, d_weight, learning_rate))]

    expected = expected_step({"w": FLOAT, "v": FLOAT}, ["v"], body)
    scheme = UpdateScheme({"v": "all", "w": "frozen"})
    tvm.ir.assert_structural_equal(canonical(SparseBackward(scheme)(Residual)), expected, True)


def test_codes_train_in_the_real_domain_with_straight_through_masks():
    def forward(emit, x, w):
        real = emit(tiny.dequantize(w, 0.25))
        active = emit(relax.op.nn.relu(emit(relax.op.multiply(x, real))))
        return real, active, emit(tiny.dequantize(emit(tiny.quantize(active, 0.5, -10)), 0.5, -10))

    def before(emit, x, target, w):
        _, _, y = forward(emit, x, w)
        return emit(relax.op.sum(emit(relax.op.multiply(y, target))))

    def after(emit, x, target, learning_rate, seed, w):
        _, active, y = forward(emit, x, w)
        loss = emit(relax.op.sum(emit(relax.op.multiply(y, target))))
        ones = emit(relax.op.ones((), "float32"))
        d_y = emit(relax.op.multiply(emit(relax.op.broadcast_to(ones, (3, 1))), target))
        d_active = emit(masked(emit(code_range_mask(active, 0.5, -10)), d_y))
        d_product = emit(masked(emit(positive_mask(active)), d_active))
        d_real = emit(relax.op.multiply(d_product, x))
        inverse = relax.const(np.full(3, 4.0, np.float32))
        salt = 0xF500AE27  # crc32 of "q"
        updated = sgd_update_codes(w, d_real, learning_rate, seed, inverse, limit=127, salt=salt)
        return [loss, emit(updated)]

    column = ((3, 1), "float32")
    source = tiny.module({"x": column, "target": column, "q": ((3, 1), "int8")}, before)
    state = {"learning_rate": ((), "float32"), "seed": ((), "uint32")}
    parameters = {"x": column, "target": column, **state, "q": ((3, 1), "int8")}
    expected = tiny.module(parameters, after)["main"].with_attr("trained_parameters", ["q"])
    after_pass = canonical(SparseBackward({"q"})(source))
    tvm.ir.assert_structural_equal(after_pass, canonical(tvm.IRModule({"main": expected})), True)


@pytest.mark.parametrize("trained", [{"a"}, {"b"}, {"c"}, {"a", "c"}, {"a", "b", "c"}])
def test_a_chain_grows_by_what_each_parameter_needs(trained):
    """Of three layers in a row only the wanted weight gradients and the way to them are there."""

    def body(emit, x, target, *weights):
        for weight in weights:
            x = emit(relax.op.nn.conv2d(x, weight))
        return emit(relax.op.sum(emit(relax.op.multiply(x, target))))

    data, weight = ((1, 2, 3, 3), "float32"), ((2, 2, 1, 1), "float32")
    parameters = {"x": data, "target": data, "a": weight, "b": weight, "c": weight}
    step = SparseBackward(trained)(tiny.module(parameters, body))
    names = tiny.op_names(step)
    assert names.count("odt.conv2d_weight_grad") == names.count("odt.sgd_update") == len(trained)
    assert names.count("odt.conv2d_input_grad") == "cba".index(min(trained))
    assert list(step["main"].attrs["trained_parameters"]) == sorted(trained)
    for frozen in {"a", "b", "c"} - trained:
        assert not any("update" in name for name in readers(step, frozen))


def readers(module, parameter):
    return [
        op_name(b.value)
        for b in bindings_of(module["main"])
        if parameter in [v.name for v in variables_in(b.value)]
    ]


def test_the_update_is_all_that_changes_a_forward_without_other_parameters():
    """The pass leaves the forward alone: its bindings are the loss function's, in their order."""
    forward = tiny.op_names(Residual)
    assert tiny.op_names(SparseBackward({"w"})(Residual))[: len(forward)] == forward


DATA, RESULT = (1, 4, 3, 3), (1, 2, 3, 3)


def convolution(emit, x, w):
    return emit(relax.op.nn.conv2d(x, w))


def weighted_sum(emit, y, target):
    return emit(relax.op.sum(emit(relax.op.multiply(y, target))))


def adjoint_of(emit, target):
    ones = emit(relax.op.ones((), "float32"))
    return emit(relax.op.multiply(emit(relax.op.broadcast_to(ones, RESULT)), target))


def slice_of_gradient(emit, adjoint, data, channels: int):
    attrs = {"strides": [1, 1], "padding": [0] * 4, "dilation": [1, 1], "groups": 1}
    shape = [2, channels, 1, 1]
    return emit(call("conv2d_weight_grad", adjoint, data, shape=shape, rows=[0, 2], **attrs))


@pytest.mark.parametrize("ranges", [[0, 2], [1, 2, 3, 4]])
def test_of_a_weight_in_part_only_the_slice_of_the_gradient_is_computed(ranges):
    """The frozen channels are read by the forward and never written."""

    def before(emit, x, target, w):
        return weighted_sum(emit, convolution(emit, x, w), target)

    def after(emit, x, target, learning_rate, _seed, w, frozen):
        y = convolution(emit, x, emit(merge_channels(w, frozen, ranges, 1)))
        loss = weighted_sum(emit, y, target)
        d_y = adjoint_of(emit, target)
        d_weight = slice_of_gradient(emit, d_y, emit(take_channels(x, ranges)), 2)
        return [loss, emit(sgd_update(w, d_weight, learning_rate))]

    images = {"x": (DATA, "float32"), "target": (RESULT, "float32")}
    module = tiny.module({**images, "w": ((2, 4, 1, 1), "float32")}, before)
    step = SparseBackward({"w": indices_of(ranges)})(module)
    state = {"learning_rate": ((), "float32"), "seed": ((), "uint32")}
    parts = {name: ((2, 2, 1, 1), "float32") for name in ("w", "w.frozen")}
    expected = tiny.module({**images, **state, **parts}, after)["main"]
    expected = expected.with_attr("trained_parameters", ["w"])
    assert_same(step, tvm.IRModule({"main": expected}))
    assert [p.name for p in step["main"].params][4:] == ["w", "w.frozen"]


def test_of_codes_the_channels_are_taken_before_they_are_decoded():
    def before(emit, x, target, w):
        real = emit(tiny.dequantize(x, 0.1, 3))
        y = convolution(emit, real, emit(tiny.dequantize(w, [0.5, 0.25])))
        return weighted_sum(emit, y, target)

    def after(emit, x, target, learning_rate, seed, w, frozen):
        real = emit(tiny.dequantize(x, 0.1, 3))
        decoded = emit(tiny.dequantize(emit(merge_channels(w, frozen, [1, 3], 1)), [0.5, 0.25]))
        loss = weighted_sum(emit, convolution(emit, real, decoded), target)
        d_y = adjoint_of(emit, target)
        taken = emit(tiny.dequantize(emit(take_channels(x, [1, 3])), 0.1, 3))
        d_weight = slice_of_gradient(emit, d_y, taken, 2)
        inverse = relax.const(np.array([2, 4], np.float32))
        salt = zlib.crc32(b"w")
        updated = sgd_update_codes(w, d_weight, learning_rate, seed, inverse, limit=127, salt=salt)
        return [loss, emit(updated)]

    images = {"x": (DATA, "int8"), "target": (RESULT, "float32")}
    module = tiny.module({**images, "w": ((2, 4, 1, 1), "int8")}, before)
    state = {"learning_rate": ((), "float32"), "seed": ((), "uint32")}
    parts = {name: ((2, 2, 1, 1), "int8") for name in ("w", "w.frozen")}
    expected = tiny.module({**images, **state, **parts}, after)["main"]
    expected = expected.with_attr("trained_parameters", ["w"])
    assert_same(SparseBackward({"w": [1, 2]})(module), tvm.IRModule({"main": expected}))


def test_a_depthwise_slice_has_the_scales_of_its_rows():
    def body(emit, x, target, w):
        real = emit(tiny.dequantize(w, [0.5, 0.25, 0.125, 1.0]))
        return weighted_sum(emit, emit(relax.op.nn.conv2d(x, real, groups=4)), target)

    images = {"x": (DATA, "float32"), "target": (DATA, "float32")}
    step = SparseBackward({"w": [1, 3]})(tiny.module({**images, "w": ((4, 1, 1, 1), "int8")}, body))
    (update,) = (
        b.value for b in bindings_of(step["main"]) if "sgd_update_codes" in op_name(b.value)
    )
    np.testing.assert_array_equal(constant(update.args[4]), [4, 1])
    assert tiny.op_names(step).count("odt.take_channels") == 1


def read_twice(emit, x, target, w):
    reals = [emit(tiny.dequantize(w, scale)) for scale in (0.5, 0.25)]
    return emit(relax.op.sum(emit(relax.op.multiply(emit(relax.op.add(*reals)), target))))


def read_as_codes(emit, x, target, w):
    real = emit(relax.op.astype(w, "float32"))
    return emit(relax.op.sum(emit(relax.op.multiply(real, target))))


def through_a_floor(emit, x, target, w):
    lowered = emit(relax.op.floor(emit(tiny.dequantize(w, 0.5))))
    return emit(relax.op.sum(emit(relax.op.multiply(lowered, target))))


def beside_a_floor(emit, x, target, w):
    """What depends on no trained parameter is not differentiated."""
    lowered = emit(relax.op.floor(x))
    return emit(relax.op.sum(emit(relax.op.multiply(emit(tiny.dequantize(w, 0.5)), lowered))))


def test_an_operator_without_a_gradient_may_lie_where_nothing_trains_before():
    module = tiny.module({"x": FLOAT, "target": FLOAT, "w": (SHAPE, "int8")}, beside_a_floor)
    assert "floor" in tiny.op_names(SparseBackward({"w"})(module))


def unread(emit, x, target, w):
    return emit(relax.op.sum(emit(relax.op.multiply(x, target))))


NOT_ONE_DEQUANTIZE = (
    'SparseBackward: parameter "w" is int8 and not read through one dequantize; '
    "only float32 and quantized parameters (int8, int32) train."
)


@pytest.mark.parametrize(
    "body, names, message",
    [
        (unread, {"v"}, 'SparseBackward: there is no parameter "v" in the module; it has "w".'),
        (unread, {"x"}, 'SparseBackward: there is no parameter "x" in the module; it has "w".'),
        (unread, set(), "SparseBackward: the scheme trains nothing; name at least one parameter."),
        (unread, {"w"}, 'SparseBackward: parameter "w" is never used.'),
        (read_twice, {"w"}, NOT_ONE_DEQUANTIZE),
        (read_as_codes, {"w"}, NOT_ONE_DEQUANTIZE),
        (
            through_a_floor,
            {"w"},
            "SparseBackward: relax.floor has no gradient, and lies between a parameter that trains "
            "and the loss.",
        ),
    ],
)
def test_refused_input_is_named(body, names, message):
    module = tiny.module({"x": FLOAT, "target": FLOAT, "w": (SHAPE, "int8")}, body)
    assert refusal(SparseBackward(names), module).startswith(message)


def test_passes_compose_under_the_name_that_tvm_users_know():
    transform = tvm_ondevice_train.relay.transform
    passes = [transform.SparseBackward({"w"}), transform.LowerQDQ(), transform.lowering()]
    kernels = tvm.transform.Sequential(passes)(Residual)
    names = set(tiny.op_names(kernels))
    assert names == {"call_tir"}
    scheduled = [f for f in kernels.functions.values() if not isinstance(f, relax.Function)]
    assert scheduled and all(f.attrs["tirx.is_scheduled"] for f in scheduled)


def test_of_a_matrix_only_the_slice_of_its_gradient_is_computed():
    """Also where a framework keeps it transposed, as PyTorch does."""

    def body(emit, x, target, w):
        turned = emit(relax.op.permute_dims(w))
        return weighted_sum(emit, emit(relax.op.matmul(x, turned)), target)

    shapes = {"x": ((3, 8), "float32"), "target": ((3, 5), "float32"), "w": ((5, 8), "float32")}
    module = tiny.module(shapes, body)
    behind = len(bindings_of(module["main"])) + 1  # the forward, and the merge
    backward = bindings_of(SparseBackward({"w": [1, 4]})(module)["main"])[behind:]
    products = [b.value for b in backward if op_name(b.value) == "relax.matmul"]
    assert [sorted(shape_of(product)) for product in products] == [[2, 5]]
    assert all(8 not in shape_of(b.var) for b in backward)
