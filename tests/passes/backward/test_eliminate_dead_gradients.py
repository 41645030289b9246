"""What leaves a training step because no result needs it, and which masks are saved."""

from itertools import pairwise

import numpy as np
import pytest
import tiny
import tvm
from structure import assert_same, canonical
from tvm import relax

from relay_passes import EliminateDeadGradients, SparseBackward
from relay_passes.graph import bindings_of, results_of, with_blocks
from relay_passes.ops.channels import take_channels
from relay_passes.ops.masks import masked, positive_mask
from relay_passes.ops.registry import operator_of

IMAGE, WEIGHT = (1, 4, 3, 3), (4, 4, 1, 1)
FLOATS = {"x": (IMAGE, "float32"), "target": (IMAGE, "float32")}


def layers(emit, x, target, *weights):
    """relu(conv) for each weight; the loss weighs the last result."""
    for weight in weights:
        x = emit(relax.op.nn.relu(emit(relax.op.nn.conv2d(x, weight))))
    return emit(relax.op.sum(emit(relax.op.multiply(x, target))))


def loss(body=layers, count: int = 2, dtype: str = "float32") -> tvm.IRModule:
    return tiny.module(FLOATS | {name: (WEIGHT, dtype) for name in "abc"[:count]}, body)


def masks(module) -> list[bool]:
    """For each range mask whether it is saved, in execution order."""
    values = [b.value for b in bindings_of(module["main"])]
    return [bool(dict(v.attrs.items()).get("saved")) for v in values if operator_of(v).mask]


def test_a_dead_adjoint_goes_and_the_rest_stays():
    def body(emit, x, w, dead):
        y = emit(relax.op.multiply(x, w))
        d_weight = emit(relax.op.multiply(x, x))
        if dead:
            d_input = emit(relax.op.multiply(w, w))
            emit(relax.op.multiply(d_input, x))
        return [emit(relax.op.sum(y)), emit(relax.op.subtract(w, d_weight))]

    row = {"x": ((1, 4), "float32"), "w": ((1, 4), "float32")}
    before, expected = (
        tiny.module(row, lambda emit, x, w, dead=dead: body(emit, x, w, dead))
        for dead in (True, False)
    )
    found = EliminateDeadGradients()(before)
    assert len(bindings_of(found["main"])) < len(bindings_of(before["main"]))
    assert_same(found, expected)


def test_a_step_of_tvms_gradient_shrinks_to_the_results_that_are_kept():
    """Of the gradients only that of b is returned: as if the others were not asked."""
    source = loss()
    whole = relax.transform.Gradient("main")(source)["main_adjoint"]
    found, gradients = results_of(whole)
    kept = results_of(with_blocks(whole, whole.body.blocks, gradients))[3]
    step = with_blocks(whole, whole.body.blocks, relax.Tuple([found, relax.Tuple([kept])]))
    alone = relax.transform.Gradient("main", [source["main"].params[3]])(source)
    shrunk = EliminateDeadGradients("step")(tvm.IRModule({"step": step}))
    alone = EliminateDeadGradients("main_adjoint")(alone)["main_adjoint"]
    tvm.ir.assert_structural_equal(
        canonical(shrunk)["step"], canonical(tvm.IRModule({"step": alone}))["step"], True
    )


def test_the_comparison_of_tvms_relu_is_saved_behind_its_activation():
    adjoint = relax.transform.Gradient("main")(loss())
    step = EliminateDeadGradients("main_adjoint")(adjoint)
    names = tiny.op_names(step, "main_adjoint")
    assert names.count("odt.below_mask") == names.count("nn.relu") == 2 and "less" not in names
    assert [b for a, b in pairwise(names) if a == "nn.conv2d"][:2] == ["odt.below_mask"] * 2


@pytest.mark.parametrize(
    "count, trained, saved",
    [
        (1, {"a": None}, [True]),  # the loss does not need the last activation
        (2, {"a": None}, [True, True]),
        (2, {"b": None}, [True]),
        (2, {"a": None, "b": None}, [True, False]),  # b's gradient reads what a's mask is cut from
        (2, {"a": None, "b": [1, 2]}, [True, True]),  # but not if a slice is saved for it
        (3, {"a": None, "c": None}, [True, False, True]),
        (3, {"a": None, "b": [0], "c": None}, [True, False, True]),
    ],
)
def test_a_mask_is_saved_unless_the_backward_needs_its_activation(count, trained, saved):
    step = SparseBackward(trained)(loss(count=count))
    assert masks(step) == [False] * len(saved)
    assert masks(EliminateDeadGradients()(step)) == saved


def as_it_is(_emit, y):
    return y, y


def reshaped(emit, y):
    """One reshape that the forward and the backward read."""
    flat = emit(relax.op.reshape(emit(relax.op.reshape(y, (1, 36))), IMAGE))
    return flat, flat


def not_at_all(emit, y):
    return y, emit(relax.op.zeros(IMAGE, "float32"))


def in_the_forward_alone(emit, y):
    return emit(relax.op.reshape(y, (1, 36))), emit(relax.op.zeros(IMAGE, "float32"))


def a_slice(emit, y):
    return y, emit(relax.op.sum(emit(take_channels(y, [0, 1])), [1], True))


@pytest.mark.parametrize(
    "read, saved",
    [
        (as_it_is, False),
        (reshaped, False),
        (not_at_all, True),
        (in_the_forward_alone, True),
        (a_slice, True),
    ],
)
def test_which_readers_of_an_activation_count(read, saved):
    """`read` gives what the forward and what the backward reads of it."""

    def body(emit, x, target):
        y = emit(relax.op.nn.relu(x))
        forward, backward = read(emit, y)
        adjoint = emit(masked(emit(positive_mask(y)), target))
        return [emit(relax.op.sum(forward)), emit(relax.op.multiply(adjoint, backward))]

    assert masks(EliminateDeadGradients()(tiny.module(FLOATS, body))) == [saved]


def test_only_the_attribute_of_a_mask_changes():
    step = SparseBackward({"a": None})(loss())
    after = EliminateDeadGradients()(step)
    assert tiny.op_names(after) == tiny.op_names(step)
    assert dict(after["main"].attrs.items()) == dict(step["main"].attrs.items())


@pytest.mark.parametrize("trained", [{"b": None}, {"a": None, "b": [0, 3]}])
def test_gradients_are_the_same(trained):
    generator = np.random.default_rng(0)
    values = {n: generator.normal(size=s).astype(np.float32) for n, (s, _) in FLOATS.items()}
    values |= {n: generator.normal(size=WEIGHT).astype(np.float32) for n in "ab"}
    step = SparseBackward(trained)(loss())
    if trained["b"]:
        values |= {"b": values["b"][:, [0, 3]], "b.frozen": values["b"][:, [1, 2]]}
    expected, found = (tiny.gradients(m, **values) for m in (step, EliminateDeadGradients()(step)))
    assert found.keys() == expected.keys() == trained.keys()
    for name, gradient in expected.items():
        np.testing.assert_array_equal(found[name], gradient)


def test_a_forward_is_left_alone():
    def body(emit, x, target):
        return emit(relax.op.sum(emit(relax.op.multiply(emit(relax.op.nn.relu(x)), target))))

    module = tiny.module(FLOATS, body)
    assert_same(EliminateDeadGradients()(module), canonical(module))
