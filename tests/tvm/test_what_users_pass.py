"""What TVM users train with `SparseBackward`: schemes, and modules of every kind."""

import numpy as np
import pytest
import tvm
import tvm_user as user
from linear_layer import LABELS, VALUES, Linear, losses, stepped, torch_gradients
from structure import refusal
from tvm import relax
from tvm.script import ir as I
from tvm.script import relax as R

from relay_passes.optimizers import SGD, Momentum
from tvm_ondevice_train.relay import transform
from tvm_ondevice_train.scheme.update_scheme import Channels, UpdateScheme


@pytest.mark.parametrize(
    "scheme, trained",
    [
        (None, ["w", "b"]),
        ("full", ["w", "b"]),
        ("head", ["w", "b"]),
        ("w", ["w"]),
        (["b", "w"], ["w", "b"]),
        ({"b"}, ["b"]),
        ({"w": None}, ["w"]),
        ({"w": "all", "b": "frozen"}, ["w"]),
        ({"w": [0, 1, 2, 3, 4, 5]}, ["w"]),
        (UpdateScheme({"b": "all"}), ["b"]),
        (UpdateScheme({}, head=True), ["w", "b"]),
    ],
    ids=str,
)
def test_what_a_scheme_means(scheme, trained):
    step = transform.SparseBackward(scheme)(losses())["main"]
    assert [str(name) for name in step.attrs["trained_parameters"]] == trained
    assert [p.name for p in step.params] == ["x", "target", "learning_rate", "seed", "w", "b"]


def test_a_scheme_of_variables_and_of_layers():
    module = losses()
    _, _, weight, bias = module["main"].params
    step = transform.SparseBackward([bias])(module)["main"]
    assert list(step.attrs["trained_parameters"]) == ["b"]
    step = transform.SparseBackward({weight: [1, 4]})(module)["main"]
    assert [p.name for p in step.params[4:]] == ["w", "w.frozen", "b"]
    network, _ = user.imported(user.seeded(), user.image())
    network = transform.AppendLoss("cross_entropy")(network)
    for word, names in {
        "last:1": ["p_b_weight", "p_b_bias", "p_fc_weight", "p_fc_bias"],
        "bias:2": ["p_a_bias", "p_b_bias", "p_fc_weight", "p_fc_bias"],
    }.items():
        step = transform.SparseBackward(word)(network)["main"]
        assert list(step.attrs["trained_parameters"]) == names


@pytest.mark.parametrize(
    "channels",
    [[1, 3], (1, 3), np.array([1, 3]), Channels(indices=(3, 1)), Channels(count=2, rule="first")],
    ids=str,
)
def test_some_input_channels_of_a_matrix_train(channels):
    scheme = {"w": channels}
    if isinstance(channels, Channels):
        scheme = UpdateScheme(scheme)
    step = transform.SparseBackward(scheme)(losses())
    rows = [0, 1] if getattr(channels, "rule", "") == "first" else [1, 3]
    parts = {"w": VALUES["w"][rows], "w.frozen": np.delete(VALUES["w"], rows, 0)}
    found = user.run_step(step, {**VALUES, **parts, "target": LABELS})
    expected = stepped(torch_gradients())
    user.assert_close(found, {**expected, "w": expected["w"][rows]})


@pytest.mark.parametrize(
    "scheme, said",
    [
        ("weight", '"weight" is unknown; allowed are full, head, last:K, bias:K, and names'),
        ("last:x", '"last:x": K must be a positive whole number, found "x"'),
        ("last:3", '"last:3": the model has 0 layers before its head'),
        (5, "the scheme is 5; allowed are None for all float parameters, a word"),
        ([0, 1], "the scheme is [0, 1]; allowed are None"),
        ([], "the scheme trains nothing; name at least one parameter."),
        ({"w": "foo"}, 'what trains of "w" is \'foo\'; allowed are None or "all"'),
        ({"w": []}, 'what trains of "w" is []; allowed are'),
        ({"w": [9]}, 'channels of "w" must be ascending numbers from 0 to 5'),
        ({"w": [3, 1]}, 'channels of "w" must be ascending numbers from 0 to 5'),
        ({"b": [0]}, '"b" is not the weight of a convolution or fully connected layer'),
        (["v"], 'there is no parameter "v" in the module; it has "w", "b". A weight that an'),
        (["target"], '"target" is the argument at target_index, which is the target'),
        (UpdateScheme({"w": Channels(count=2)}), '"w": channels are chosen by the rule "norm"'),
        (UpdateScheme({"w": Channels(count=9, rule="first")}), '"w": count 9 is out of range'),
    ],
    ids=str,
)
def test_a_scheme_that_means_nothing(scheme, said):
    with pytest.raises(ValueError) as caught:
        transform.SparseBackward(scheme)(losses())
    assert f"SparseBackward: {said}" in str(caught.value).strip().splitlines()[-1]


@pytest.mark.parametrize(
    "options, said",
    [
        ({"target_index": 4}, "target_index is 4; it must be the position of the target"),
        ({"target_index": "x"}, "target_index is 'x'; it must be the position of the target"),
        ({"optimizer": "adam"}, "optimizer is 'adam'; allowed are None"),
        ({"func_name": "train"}, 'the module has no Relax function "train".'),
        ({"func_name": 3}, "func_name is 3; it must be the name of a function"),
    ],
    ids=str,
)
def test_options_that_mean_nothing(options, said):
    with pytest.raises(ValueError) as caught:
        transform.SparseBackward(**options)(losses())
    assert f"SparseBackward: {said}" in str(caught.value).strip().splitlines()[-1]


def two_of_one_name() -> tvm.IRModule:
    function = losses()["main"]
    builder = relax.BlockBuilder()
    twin = relax.Var("w", relax.TensorType((1,), "float32"))
    with builder.function("main", [*function.params, twin]):
        with builder.dataflow():
            for binding in function.body.blocks[0].bindings:
                builder.emit_normalized(binding)
            scaled = builder.emit(relax.op.sum(twin))
            loss = builder.emit_output(relax.op.add(function.body.body, scaled))
        builder.emit_func_output(loss)
    return builder.get()


@I.ir_module
class Calls:
    @R.function
    def other(x: R.Tensor((2,), "float32"), t: R.Tensor((2,), "float32")) -> R.Tensor(
        (), "float32"
    ):
        cls = Calls
        with R.dataflow():
            y: R.Tensor((), "float32") = cls.main(x, t, x)
            R.output(y)
        return y

    @R.function
    def main(
        x: R.Tensor((2,), "float32"),
        t: R.Tensor((2,), "float32"),
        w: R.Tensor((2,), "float32"),
    ) -> R.Tensor((), "float32"):
        with R.dataflow():
            y = R.sum(R.multiply(R.multiply(x, w), t))
            R.output(y)
        return y


@I.ir_module
class Unreached:
    """`v` ends in a result that is not the loss, `u` only says where, `s` is used by nothing."""

    @R.function
    def main(
        x: R.Tensor((2,), "float32"),
        t: R.Tensor((2,), "float32"),
        w: R.Tensor((2,), "float32"),
        v: R.Tensor((2,), "float32"),
        u: R.Tensor((2,), "float32"),
        s: R.Tensor((2,), "float32"),
    ):
        with R.dataflow():
            more = R.multiply(x, v)
            chosen = R.where(R.greater(u, x), w, x)
            y = R.sum(R.multiply(chosen, t))
            R.output(y, more)
        return (y, more)


@I.ir_module
class OtherTypes:
    """Arguments that are no tensors, and one of a shape that nobody knows."""

    @R.function
    def main(
        x: R.Tensor((2, 3), "float32"),
        t: R.Tensor((2, 4), "float32"),
        shape: R.Shape([2, 4]),
        pair: R.Tuple(R.Tensor((2, 3), "float32"), R.Tensor((4,), "float32")),
        unknown: R.Tensor("float32", ndim=2),
        w: R.Tensor((3, 4), "float32"),
    ) -> R.Tensor((), "float32"):
        with R.dataflow():
            y = R.add(R.matmul(R.add(x, pair[0]), w), R.broadcast_to(pair[1], shape))
            loss = R.sum(R.multiply(y, t))
            R.output(loss)
        return loss


def test_no_scheme_trains_tensors_alone():
    step = transform.SparseBackward()(OtherTypes)
    assert [str(name) for name in step["main"].attrs["trained_parameters"]] == ["w"]


@pytest.mark.parametrize("optimizer", [SGD(), Momentum(0.5)], ids=["SGD", "Momentum"])
def test_a_parameter_of_a_symbolic_shape(optimizer):
    @I.ir_module
    class Symbolic:
        @R.function
        def main(x: R.Tensor((2, "k"), "float32"), w: R.Tensor(("k", 4), "float32")) -> R.Tensor(
            (), "float32"
        ):
            with R.dataflow():
                loss = R.sum(R.matmul(x, w))
                R.output(loss)
            return loss

    step = transform.SparseBackward(target_index=None, optimizer=optimizer)(Symbolic)
    x, w = VALUES["x"], VALUES["w"]
    operands = {"x": x, "w": w, "momentum": np.float32(0.5), "w.velocity": np.zeros_like(w)}
    found = user.run_step(step, operands)
    expected = w - user.RATE * np.repeat(x.sum(0)[:, None], 4, 1)
    np.testing.assert_allclose(found["w"], expected, atol=1e-6)


@pytest.mark.parametrize(
    "module, scheme, said",
    [
        (two_of_one_name(), ["w"], '2 parameters are called "w"; give each its own name.'),
        (Calls, ["w"], '"main" is called by "other", but its signature changes'),
        (Unreached, ["v"], 'parameter "v" does not reach the loss.'),
        (Unreached, ["u"], 'parameter "u" does not reach the loss.'),
        (Unreached, ["s"], 'parameter "s" is never used.'),
        (OtherTypes, ["pair"], 'parameter "pair" is T.Tuple('),
        (OtherTypes, {"pair": [0]}, 'parameter "pair" is T.Tuple('),
        (OtherTypes, ["unknown"], 'parameter "unknown" is R.Tensor(dtype="float32", ndim=2); only'),
        (Linear, ["b"], 'the function returns R.Tensor((2, 4), dtype="float32"); the first'),
    ],
    ids=[
        *("names", "called", "not the loss", "no gradient", "unused"),
        *("tuple", "channels of a tuple", "unknown shape", "no loss"),
    ],
)
def test_a_module_that_cannot_be_trained_so(module, scheme, said):
    assert f"SparseBackward: {said}" in refusal(transform.SparseBackward(scheme), module)


def test_what_else_a_function_returns_stays_behind_the_updates():
    step = transform.SparseBackward(["w"])(Unreached)
    ones = np.ones(2, np.float32)
    operands = {"x": ones, "t": ones, "w": 3 * ones, "v": 5 * ones, "u": 2 * ones, "s": ones}
    ordered = {**operands, "learning_rate": np.float32(0.5), "seed": np.uint32(0)}
    loss, updated, more = user.run(step, *[ordered[p.name] for p in step["main"].params])
    assert float(loss) == 6 and updated.tolist() == [2.5, 2.5] and more.tolist() == [5, 5]


@I.ir_module
class AnyBatch:
    @R.function
    def main(
        x: R.Tensor(("n", 6), "float32"),
        target: R.Tensor(("n", 4), "float32"),
        w: R.Tensor((4, 6), "float32"),
    ):
        with R.dataflow():
            y = R.matmul(x, R.permute_dims(w))
            loss = R.sum(R.multiply(y, target))
            R.output(loss)
        return loss


def test_some_channels_of_a_matrix_whose_batch_is_no_number():
    step = transform.SparseBackward({"w": [1, 3]})(AnyBatch)
    w, x, target = VALUES["w"].T, VALUES["x"], VALUES["x"][:, 2:]
    parts = {"w": w[:, [1, 3]], "w.frozen": np.delete(w, [1, 3], 1)}
    found = user.run_step(step, {"x": x, "target": target, **parts})
    expected = (w - user.RATE * target.T @ x)[:, [1, 3]]
    user.assert_close(found, {"loss": (x @ w.T * target).sum(), "w": expected}, 1e-5)


def test_a_scale_that_is_an_argument_is_to_be_bound():
    @I.ir_module
    class Unbound:
        @R.function
        def main(
            x: R.Tensor((1, 4), "float32"),
            target: R.Tensor((1, 4), "float32"),
            q: R.Tensor((1, 4), "int8"),
            scale: R.Tensor((), "float32"),
        ):
            with R.dataflow():
                w = R.dequantize(q, scale, R.const(0, "int8"))
                loss = R.sum(R.multiply(R.multiply(x, w), target))
                R.output(loss)
            return loss

    said = refusal(transform.SparseBackward(["q"]), Unbound)
    assert '"q" is no constant; bind scales and zero points by relax.transform.BindParams' in said


def test_all_floats_are_those_that_get_a_gradient():
    """Not the statistics of a batch norm, not the scale of a quantize, nor what nothing reads."""

    @I.ir_module
    class Normalized:
        @R.function
        def main(
            x: R.Tensor((2, 3, 4, 4), "float32"),
            target: R.Tensor((2, 3, 4, 4), "float32"),
            gamma: R.Tensor((3,), "float32"),
            beta: R.Tensor((3,), "float32"),
            mean: R.Tensor((3,), "float32"),
            variance: R.Tensor((3,), "float32"),
            scale: R.Tensor((), "float32"),
            unread: R.Tensor((3,), "float32"),
        ):
            with R.dataflow():
                result = R.nn.batch_norm(x, gamma, beta, mean, variance, axis=1, training=False)
                codes = R.quantize(result[0], scale, R.const(0, "int8"), out_dtype="int8")
                real = R.dequantize(codes, scale, R.const(0, "int8"))
                loss = R.sum(R.multiply(real, target))
                R.output(loss)
            return loss

    step = transform.SparseBackward()(Normalized)["main"]
    assert list(step.attrs["trained_parameters"]) == ["gamma", "beta"]
    frozen = relax.transform.BindParams(
        "main", {name: np.ones(3, np.float32) for name in ("gamma", "beta")}
    )
    assert "no float parameter gets a gradient" in refusal(
        transform.SparseBackward(), frozen(Normalized)
    )
