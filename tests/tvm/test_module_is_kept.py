"""What `SparseBackward` does not differentiate stays the user's, and what holds together does."""

import numpy as np
import pytest
import torch
import tvm
import tvm_user as user
from structure import refusal
from tvm import relax, te
from tvm.relax.training.utils import register_te_gradient
from tvm.script import ir as I
from tvm.script import relax as R

from relay_passes.graph import bindings_of
from relay_passes.tir import T
from tvm_ondevice_train.relay import transform

S64 = T.int64


@register_te_gradient("odt_test_square_grad")
def square_grad(adjoint, x):
    return [te.compute(x.shape, lambda *i: adjoint(*i) * 2.0 * x(*i), name="grad")]


@I.ir_module
class Everything:
    """Two dataflow blocks around a print, an `if`, a `match_cast`; kernels; another function."""

    I.module_attrs({"mine": 7})

    @T.prim_func(private=True, s_tir=True)
    def square(x: T.Buffer((S64(1), S64(6)), "float32"), y: T.Buffer((S64(1), S64(6)), "float32")):
        for i, j in T.grid(S64(1), S64(6)):
            with T.sblock("square"):
                v, u = T.axis.remap("SS", [i, j])
                y[v, u] = x[v, u] * x[v, u]

    @T.prim_func(private=True, s_tir=True)
    def unused(x: T.Buffer((S64(6),), "float32"), y: T.Buffer((S64(6),), "float32")):
        for i in T.serial(S64(6)):
            with T.sblock("unused"):
                v = T.axis.remap("S", [i])
                y[v] = x[v]

    @R.function
    def predict(x: R.Tensor((1, 6), "float32"), w: R.Tensor((6, 4), "float32")) -> R.Tensor(
        (1, 4), "float32"
    ):
        with R.dataflow():
            dead = R.add(x, x)  # noqa: F841 - it stays
            y = R.matmul(x, w)
            R.output(y)
        return y

    @R.function(pure=False)
    def main(
        x: R.Tensor((1, 6), "float32"),
        target: R.Tensor((1,), "int32"),
        w: R.Tensor((6, 4), "float32"),
        v: R.Tensor((1, 6), "float32"),
        flag: R.Tensor((), "bool"),
    ):
        R.func_attr({"mine": "kept"})
        cls = Everything
        with R.dataflow():
            doubled = R.multiply(x, R.const(2.0, "float32"))
            scaled = R.multiply(doubled, v)
            R.output(doubled, scaled)
        _ = R.print(doubled, format="{}")
        if flag:  # noqa: SIM108 - TVMScript
            chosen = R.add(doubled, doubled)
        else:
            chosen = R.multiply(doubled, doubled)
        cast = R.match_cast(chosen, R.Tensor((1, 6), "float32"))
        with R.dataflow():
            frozen = R.call_tir(cls.square, (cast,), out_ty=R.Tensor((1, 6), "float32"))
            trained = R.call_tir_with_grad(
                cls.square,
                (scaled,),
                out_ty=R.Tensor((1, 6), "float32"),
                te_grad_name="odt_test_square_grad",
            )
            logits = R.matmul(R.add(frozen, trained), w)
            loss = R.nn.nll_loss(R.nn.log_softmax(logits), target)
            R.output(loss)
        return loss


PASSES = [["w"], ["v"], ["w", "v"]]
SIZES = {"x": (1, 6), "w": (6, 4), "v": (1, 6)}


def step(names) -> tvm.IRModule:
    passes = transform.SparseBackward(names), transform.EliminateDeadGradients()
    return tvm.transform.Sequential(passes)(Everything)


@pytest.mark.parametrize("names", PASSES, ids=str)
def test_functions_attributes_and_blocks_stay(names):
    found = step(names)
    relax.analysis.well_formed(found)
    for gvar, function in Everything.functions_items():
        if gvar.name_hint != "main":
            tvm.ir.assert_structural_equal(found[gvar.name_hint], function)
    assert dict(found.attrs) == {"mine": 7}
    assert found["main"].attrs["mine"] == "kept" and not found["main"].is_pure
    kinds = [type(block) for block in found["main"].body.blocks]
    assert kinds == [type(block) for block in Everything["main"].body.blocks]


@pytest.mark.parametrize("names", PASSES, ids=str)
def test_names_of_variables_stay_in_their_order(names):
    before = [b.var.name for b in bindings_of(Everything["main"])]
    after = [b.var.name for b in bindings_of(step(names)["main"])]
    assert after[: len(before)] == before


@pytest.mark.parametrize("flag", [True, False])
def test_the_numbers_are_pytorchs(flag, capfd):
    random = np.random.default_rng(0)
    values = {n: random.normal(size=s).astype(np.float32) for n, s in SIZES.items()}
    x, w, v = (torch.tensor(values[n], requires_grad=n != "x") for n in "xwv")
    chosen = 4 * x if flag else 4 * x * x
    logits = (chosen**2 + (2 * x * v) ** 2) @ w
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor([user.LABEL]))
    loss.backward()
    found = user.run_step(
        step(["w", "v"]),
        {**values, "target": np.array([user.LABEL], np.int32), "flag": np.array(flag)},
    )
    expected = {n: values[n] - user.RATE * p.grad.numpy() for n, p in (("w", w), ("v", v))}
    user.assert_close(found, {"loss": loss.item(), **expected}, 1e-5)
    assert "[[" in capfd.readouterr().out  # the print is still there


@pytest.mark.parametrize(
    "trained, said",
    [
        ("x", 'there is no parameter "x"'),
        ("before", "if has no gradient, and lies between a parameter that trains and the loss."),
        ("kernel", "relax.call_tir of square has no gradient, and lies between"),
        ("packed", "relax.call_pure_packed of test.double has no gradient, and"),
        ("called", "the function predict has no gradient, and lies between"),
    ],
)
def test_what_cannot_be_differentiated_is_named(trained, said):
    @I.ir_module
    class On:
        @T.prim_func(private=True, s_tir=True)
        def square(
            x: T.Buffer((S64(1), S64(6)), "float32"), y: T.Buffer((S64(1), S64(6)), "float32")
        ):
            for i, j in T.grid(S64(1), S64(6)):
                with T.sblock("square"):
                    v, u = T.axis.remap("SS", [i, j])
                    y[v, u] = x[v, u] * x[v, u]

        @R.function
        def predict(x: R.Tensor((1, 6), "float32")) -> R.Tensor((1, 6), "float32"):
            with R.dataflow():
                y = R.add(x, x)
                R.output(y)
            return y

        @R.function
        def main(
            x: R.Tensor((1, 6), "float32"),
            target: R.Tensor((1, 6), "float32"),
            flag: R.Tensor((), "bool"),
            before: R.Tensor((1, 6), "float32"),
            kernel: R.Tensor((1, 6), "float32"),
            called: R.Tensor((1, 6), "float32"),
            packed: R.Tensor((1, 6), "float32"),
        ) -> R.Tensor((), "float32"):
            cls = On
            if flag:  # noqa: SIM108 - TVMScript
                chosen = R.add(before, x)
            else:
                chosen = R.multiply(before, x)
            with R.dataflow():
                squared = R.call_tir(cls.square, (kernel,), out_ty=R.Tensor((1, 6), "float32"))
                twice = cls.predict(called)
                other = R.call_pure_packed(
                    "test.double", packed, ty_args=R.Tensor((1, 6), "float32")
                )
                product = R.multiply(R.multiply(chosen, squared), R.multiply(twice, target))
                loss = R.sum(R.multiply(product, other))
                R.output(loss)
            return loss

    assert f"SparseBackward: {said}" in refusal(transform.SparseBackward([trained]), On)


def test_a_match_cast_between_a_parameter_and_the_loss():
    """The adjoint has the extents that it names, and before it those of what it casts."""

    @I.ir_module
    class Cast:
        @R.function
        def main(
            x: R.Tensor((2, 3), "float32"),
            scale: R.Tensor("float32", ndim=2),
            w: R.Tensor((3, 4), "float32"),
        ) -> R.Tensor((), "float32"):
            m, n = T.int64(), T.int64()
            with R.dataflow():
                y = R.match_cast(R.matmul(x, w), R.Tensor((m, n), "float32"))
                named = R.match_cast(scale, R.Tensor((m, n), "float32"))
                loss = R.sum(R.tanh(R.multiply(y, named)))
                R.output(loss)
            return loss

    random = np.random.default_rng(0)
    sizes = {"x": (2, 3), "scale": (2, 4), "w": (3, 4)}
    values = {n: random.normal(size=size).astype(np.float32) for n, size in sizes.items()}
    found = user.run_step(transform.SparseBackward(["w"], target_index=None)(Cast), values)
    x, scale, w = (torch.tensor(values[n], requires_grad=n == "w") for n in sizes)
    loss = torch.tanh(x @ w * scale).sum()
    loss.backward()
    expected = {"loss": loss.item(), "w": values["w"] - user.RATE * w.grad.numpy()}
    user.assert_close(found, expected, 1e-5)


def test_a_packed_function_without_a_gradient_is_named():
    @I.ir_module
    class Packed:
        @R.function(pure=False)
        def main(x: R.Tensor((2,), "float32"), w: R.Tensor((2,), "float32")) -> R.Tensor(
            (), "float32"
        ):
            y = R.call_packed("test.double", w, ty_args=R.Tensor((2,), "float32"))
            return R.sum(R.multiply(x, y))

    said = refusal(transform.SparseBackward(["w"], target_index=None), Packed)
    assert "SparseBackward: the packed function test.double has no gradient, and lies" in said


@I.ir_module
class ReadTwice:
    """The backward, behind a print, reads what only the first block knows: h, by two rules."""

    @R.function(pure=False)
    def main(
        x: R.Tensor((2, 6), "float32"),
        target: R.Tensor((2, 4), "float32"),
        w: R.Tensor((6, 8), "float32"),
        v: R.Tensor((8, 4), "float32"),
    ):
        with R.dataflow():
            h = R.tanh(R.matmul(x, w))
            y = R.matmul(h, v)
            R.output(y)
        _ = R.print(y, format="{}")
        with R.dataflow():
            loss = R.sum(R.multiply(y, target))
            R.output(loss)
        return loss


def test_a_value_of_an_earlier_block_is_read_by_two_gradients():
    random = np.random.default_rng(0)
    shapes = {"x": (2, 6), "target": (2, 4), "w": (6, 8), "v": (8, 4)}
    values = {n: random.normal(size=s).astype(np.float32) for n, s in shapes.items()}
    x, target, w, v = (torch.tensor(values[n], requires_grad=n in "wv") for n in shapes)
    loss = (torch.tanh(x @ w) @ v * target).sum()
    loss.backward()
    found = user.run_step(transform.SparseBackward()(ReadTwice), values)
    expected = {n: values[n] - user.RATE * p.grad.numpy() for n, p in (("w", w), ("v", v))}
    user.assert_close(found, {"loss": loss.item(), **expected}, 1e-5)
