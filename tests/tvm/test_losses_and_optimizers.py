"""Losses before `SparseBackward`, and optimizers and rules in it, as TVM users have them."""

import numpy as np
import pytest
import torch
import tvm
import tvm_user as user
from linear_layer import LABELS, VALUES, Linear, losses, stepped, torch_gradients
from structure import refusal
from tvm import relax
from tvm.relax.training import optimizer as tvm_optimizers
from tvm.relax.training.loss import CrossEntropyLoss, MSELoss
from tvm.relax.training.utils import AppendLoss
from tvm.script import ir as I
from tvm.script import relax as R

from tvm_ondevice_train.relay import transform


@pytest.mark.parametrize("target_index", [-1, 3])
def test_tvms_append_loss_puts_the_target_last(target_index):
    output, label = relax.TensorType((2, 4), "float32"), relax.TensorType((2,), "int32")
    module = AppendLoss("main", CrossEntropyLoss()(output, label))(Linear)
    backward = transform.SparseBackward(func_name="main_loss", target_index=target_index)
    step = backward(module)
    assert [p.name for p in step["main_loss"].params] == [
        *("x", "targets", "learning_rate", "seed", "w", "b")
    ]
    tvm.ir.assert_structural_equal(step["main"], module["main"])
    found = user.run_step(step, {**VALUES, "targets": LABELS}, function="main_loss")
    user.assert_close(found, stepped(torch_gradients()))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_append_loss_equals_pytorchs(loss, reduction):
    of = getattr(torch.nn.functional, loss.replace("mse", "mse_loss"))
    target = LABELS if loss == "cross_entropy" else VALUES["x"][:, :4]
    module = transform.AppendLoss(loss, reduction=reduction)(Linear)
    step = transform.SparseBackward(optimizer=None)(module)
    found, gradients = user.run(step, VALUES["x"], target, VALUES["w"], VALUES["b"])
    expected = torch_gradients(lambda y, t: of(y, t, reduction=reduction), target)
    user.assert_close({"loss": found, "w": gradients[0], "b": gradients[1]}, expected, 2e-6)


FUNCTIONAL = torch.nn.functional
WEIGHTS = [0.5, 2.0, 1.0, 0.0]
WITH_PARAMETERS = [
    (
        {"loss": "cross_entropy", "class_weights": WEIGHTS, "label_smoothing": 0.1},
        lambda y, t: (
            FUNCTIONAL.cross_entropy(
                y, t, torch.tensor(WEIGHTS), label_smoothing=0.1, reduction="sum"
            )
            / len(t)
        ),
    ),
    (
        {"loss": "bce", "positive_weight": 2.0},
        lambda y, t: FUNCTIONAL.binary_cross_entropy_with_logits(
            y, t, pos_weight=torch.tensor(2.0)
        ),
    ),
    ({"loss": "l1", "reduction": "sum"}, lambda y, t: FUNCTIONAL.l1_loss(y, t, reduction="sum")),
    ({"loss": "huber", "delta": 0.2}, lambda y, t: FUNCTIONAL.huber_loss(y, t, delta=0.2)),
]


@pytest.mark.parametrize("options, of", WITH_PARAMETERS, ids=["weights", "bce", "l1", "huber"])
def test_losses_with_parameters_equal_pytorchs(options, of):
    target = LABELS if options["loss"] == "cross_entropy" else np.abs(VALUES["x"][:, :4]) % 1
    step = transform.SparseBackward(optimizer=None)(transform.AppendLoss(**options)(Linear))
    found, gradients = user.run(step, VALUES["x"], target, VALUES["w"], VALUES["b"])
    expected = torch_gradients(of, target)
    user.assert_close({"loss": found, "w": gradients[0], "b": gradients[1]}, expected, 2e-6)


@pytest.mark.parametrize(
    "parameters, said",
    [
        ({"class_weights": [1, 2]}, "class_weights has 2 numbers; the logits have 4 classes."),
        ({"ignore_index": 3}, "ignore_index is 3, one of the 4 classes; to leave a class out"),
    ],
)
def test_parameters_that_do_not_fit_the_logits(parameters, said):
    assert said in refusal(transform.AppendLoss("cross_entropy", **parameters), Linear)


def test_append_loss_is_tvms():
    output = relax.TensorType((2, 4), "float32")
    theirs = AppendLoss("main", MSELoss(reduction="mean")(output, output))(Linear)
    values = VALUES["x"], VALUES["w"], VALUES["b"]
    target = VALUES["x"][:, 2:]
    expected = user.run(theirs, *values, target, function="main_loss")
    found = user.run(losses("mse"), values[0], target, *values[1:])
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    "options, said",
    [
        ({"loss": "hinge"}, "loss is 'hinge'; allowed are cross_entropy, bce, mse, l1, huber."),
        ({"loss": "mse", "reduction": "none"}, "reduction is 'none'; allowed are mean, sum."),
        ({"loss": "mse", "delta": 1}, "loss 'mse' has no delta; it has no parameters."),
        ({"loss": "bce", "delta": 1}, "loss 'bce' has no delta; it has positive_weight."),
        ({"loss": "huber", "delta": 0}, "0; it must be above 0, and finite, as a float32."),
    ],
    ids=str,
)
def test_a_loss_that_there_is_not(options, said):
    with pytest.raises(ValueError, match="AppendLoss: ") as caught:
        transform.AppendLoss(**options)
    assert str(caught.value).endswith(said)


def test_without_an_optimizer_the_signature_is_that_of_tvms_gradient():
    module = losses()
    ours = transform.SparseBackward(optimizer=None)(module)
    theirs = relax.transform.Gradient("main", module["main"].params[2:])(module)["main_adjoint"]
    tvm.ir.assert_structural_equal(ours["main"].ret_ty, theirs.ret_ty)
    assert [p.name for p in ours["main"].params] == [p.name for p in theirs.params]


TORCH = {
    "SGD": (tvm_optimizers.SGD(0.1, weight_decay=0.2), {"weight_decay": 0.2}),
    "MomentumSGD": (
        tvm_optimizers.MomentumSGD(0.1, 0.9, nesterov=True),
        {"momentum": 0.9, "nesterov": True},
    ),
}


@pytest.mark.parametrize("optimizer, options", TORCH.values(), ids=list(TORCH))
def test_optimizers_of_relax_training(optimizer, options):
    passes = transform.SparseBackward(optimizer=optimizer), transform.EliminateDeadGradients()
    step = tvm.transform.Sequential(passes)(losses())
    assert [p.name for p in step["main"].params] == ["x", "target", "w", "b", "optim_states"]
    values, states = [VALUES["w"], VALUES["b"]], [one.numpy() for one in optimizer.state]
    x, w, b = (torch.tensor(VALUES[n], requires_grad=n != "x") for n in "xwb")
    reference = torch.optim.SGD([w, b], lr=0.1, **options)
    train = user.compiled(step)
    for _ in range(4):
        loss, *values, states = train(VALUES["x"], LABELS, *values, states)
        reference.zero_grad()
        expected = torch.nn.functional.cross_entropy(x @ w + b, torch.tensor(LABELS).long())
        expected.backward()
        reference.step()
        np.testing.assert_allclose(loss, expected.item(), atol=1e-6)
    for found, parameter in zip(values, (w, b), strict=True):
        np.testing.assert_allclose(found, parameter.detach(), atol=1e-6)


def test_an_optimizer_that_fails_in_tvm_is_named():
    """Adam of TVM 0.27 cannot make its own states; where it can, it plugs in."""
    adam = tvm_optimizers.Adam(0.1)
    try:
        adam.init(list(losses()["main"].params[2:]))
    except Exception:
        said = refusal(transform.SparseBackward(optimizer=adam), losses())
        assert "SparseBackward: Adam of relax.training fails: " in said
    else:
        assert "main" in transform.SparseBackward(optimizer=adam)(losses())


def test_an_optimizer_of_relax_training_does_not_round_to_codes():
    @I.ir_module
    class Quantized:
        @R.function
        def main(
            x: R.Tensor((1, 4), "float32"),
            target: R.Tensor((1, 4), "float32"),
            q: R.Tensor((1, 4), "int8"),
        ):
            with R.dataflow():
                w = R.dequantize(q, R.const(0.5, "float32"), R.const(0, "int8"))
                loss = R.sum(R.multiply(R.multiply(x, w), target))
                R.output(loss)
            return loss

    said = refusal(transform.SparseBackward(["q"], optimizer=tvm_optimizers.SGD(0.1)), Quantized)
    assert '"q" is quantized, and SGD of relax.training does not round to codes' in said
    assert "no float parameter reaches the loss" in refusal(transform.SparseBackward(), Quantized)


def test_an_optimizer_of_ours_is_beside_the_passes():
    optimizer = transform.Momentum(momentum=0.5)
    step = transform.SparseBackward(["b"], optimizer=optimizer)(losses())["main"]
    assert list(step.attrs["optimizer_states"]) == ["b.velocity"]
    assert [p.name for p in step.params[4:]] == ["w", "b", "momentum", "b.velocity"]
    assert isinstance(transform.SGD(), transform.Optimizer)


def test_a_prediction_is_not_a_scalar():
    said = refusal(transform.AppendLoss("mse"), losses())
    assert 'AppendLoss: "main" returns R.Tensor((), dtype="float32"); its first result' in said


@pytest.fixture
def tripled():
    """A user's rule for ReLU, for which TVM and we have one."""
    operator = tvm.ir.Op.get("relax.nn.relu")
    registered = operator.get_attr("FPrimalGradient")
    three = relax.const(3, "float32")
    relax.op.base.register_gradient(
        operator.name, lambda _y, _x, adjoint, _: [relax.op.multiply(three, adjoint)], level=11
    )
    yield
    operator.reset_attr("FPrimalGradient")
    relax.op.base.register_gradient(operator.name, registered)


@pytest.mark.usefixtures("tripled")
def test_a_rule_that_a_user_registers_is_used():
    @I.ir_module
    class Active:
        @R.function
        def main(x: R.Tensor((3,), "float32"), w: R.Tensor((3,), "float32")):
            with R.dataflow():
                loss = R.sum(R.nn.relu(R.add(x, w)))
                R.output(loss)
            return loss

    step = transform.SparseBackward(target_index=None, optimizer=None)(Active)
    _, (gradient,) = user.run(step, np.ones(3, np.float32), np.ones(3, np.float32))
    assert gradient.tolist() == [3, 3, 3]
