"""Adjoints through tuples, aliases and casts; what depends on no leaf is not visited."""

import numpy as np
import pytest
import tiny
import tvm
from structure import refusal
from tvm import relax
from tvm.script import ir as I
from tvm.script import relax as R

from relay_passes import SparseBackward
from relay_passes.backward.cancel_transposes import cancel_transposes
from relay_passes.graph import bindings_of, is_call_of

ROW = R.Tensor((1, 6), "float32")


@I.ir_module
class Tuples:
    """``w`` goes through nested tuples, `split`, `concat` and an alias."""

    @R.function
    def main(x: ROW, target: ROW, w: ROW):
        with R.dataflow():
            product = R.multiply(x, w)
            halves = R.split(product, 2, axis=1)
            left = halves[0]
            nested = ((left, product), x)
            inner = nested[0]
            again = inner[0]
            whole = R.concat((again, again), axis=1)
            alias = whole
            weighted = R.multiply(alias, target)
            loss = R.sum(weighted)
            R.output(loss)
        return loss


@I.ir_module
class Frozen:
    """Nothing of `before` depends on ``w``: operators without a rule, a cast, an integer."""

    @R.function
    def main(x: ROW, target: ROW, w: ROW, v: ROW):
        with R.dataflow():
            before = R.floor(R.multiply(x, v))
            chosen = R.argmax(before, axis=1)
            place = R.astype(R.expand_dims(chosen, 1), "float32")
            cast = R.match_cast(R.multiply(before, w), ROW)
            loss = R.sum(R.multiply(R.multiply(cast, place), target))
            R.output(loss)
        return loss


X, TARGET = np.arange(1, 7, dtype=np.float32)[None], np.linspace(-1, 1, 6, dtype=np.float32)[None]


def gradients(module, **values):
    step = SparseBackward(["w"])(module)
    return tiny.gradients(step, x=X, target=TARGET, **values)["w"]


def test_through_tuples():
    """The left half is used twice, the right one not at all."""
    found = gradients(Tuples, w=np.ones_like(X))
    left = X[:, :3] * (TARGET[:, :3] + TARGET[:, 3:])
    np.testing.assert_allclose(found, np.concatenate([left, np.zeros((1, 3))], 1), atol=1e-6)


def test_only_what_depends_on_a_leaf_needs_a_rule():
    values = {"w": np.ones_like(X), "v": np.full_like(X, 0.7)}
    before = np.floor(X * np.float32(0.7))
    expected = before * before.argmax() * TARGET
    np.testing.assert_allclose(gradients(Frozen, **values), expected, atol=1e-6)
    said = refusal(SparseBackward(["v"]), Frozen)
    assert "relax.floor has no gradient, and lies between a parameter that trains and" in said


def test_nothing_is_emitted_for_operands_that_do_not_train():
    names = tiny.op_names(SparseBackward(["w"])(Frozen))
    forward = tiny.op_names(Frozen)
    assert names[: len(forward)] == forward
    assert names[len(forward) :].count("multiply") == 3  # to the product, the cast, and w


@pytest.mark.parametrize("undone", [True, False])
def test_a_transpose_of_a_transpose_is_left_out(undone):
    def body(emit, x):
        turned = emit(relax.op.permute_dims(x, [2, 0, 1]))
        back = emit(relax.op.permute_dims(turned, [1, 2, 0] if undone else [2, 0, 1]))
        return emit(relax.op.negative(back))

    function = tiny.module({"x": ((2, 2, 2), "float32")}, body)["main"]
    kept = {bindings_of(function)[0].var}
    found = cancel_transposes(function, kept)
    turns = [b for b in bindings_of(found) if is_call_of(b.value, "relax.permute_dims")]
    assert len(turns) == (1 if undone else 2)
    negative = next(b.value for b in bindings_of(found) if is_call_of(b.value, "relax.negative"))
    assert negative.args[0].same_as(function.params[0]) == undone
    everything = {b.var for b in bindings_of(function)}
    tvm.ir.assert_structural_equal(cancel_transposes(function, everything), function)
