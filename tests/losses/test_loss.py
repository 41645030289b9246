"""Losses as values: parameters, targets, refusals, and graphs that are PyTorch's."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import tiny
import torch
from torch.nn import functional
from tvm import relax

from relay_passes import SparseBackward
from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.losses import (
    BCE,
    CROSS_ENTROPY,
    HUBER,
    L1,
    LABEL,
    LABEL_MAP,
    LOSSES,
    MSE,
    PROBABILITIES,
    VALUES,
    BinaryCrossEntropy,
    CrossEntropy,
    Huber,
    Loss,
    loss_of,
)

WEIGHTS = (0.5, 2.0, 1.0, 0.0, 3.0)


def test_losses_by_name():
    assert LOSSES == {
        "cross_entropy": CROSS_ENTROPY,
        "bce": BCE,
        "mse": MSE,
        "l1": L1,
        "huber": HUBER,
    }
    assert loss_of("mse") is MSE and loss_of(CROSS_ENTROPY) is CROSS_ENTROPY
    assert loss_of("huber", {"delta": 2}) == Huber(2.0) == loss_of(HUBER, {"delta": 2.0})
    with pytest.raises(
        OdtError, match='unknown loss "hinge"; known are cross_entropy, bce, mse, l1, huber'
    ):
        loss_of("hinge")


@pytest.mark.parametrize(
    "loss, parameters, message",
    [
        ("mse", {"delta": 1}, "loss mse has no delta; huber would have it"),
        (
            "cross_entropy",
            {"delta": 1},
            "cross_entropy has no delta, but class_weights, label_smoothing, ignore_index; huber",
        ),
        ("huber", {"delta": 0}, "delta is 0; it must be above 0, and finite, as a float32"),
        ("huber", {"delta": np.nan}, "delta is NaN"),
        ("huber", {"delta": 1e-50}, "delta is 1e-50"),
        ("huber", {"delta": "1"}, 'delta is "1"'),
        ("huber", {"delta": True}, "delta is true"),
        ("bce", {"positive_weight": -1}, "positive_weight is -1; it must be above 0"),
        ("bce", {"positive_weight": 1e39}, "positive_weight is 1e+39"),
        (
            "cross_entropy",
            {"label_smoothing": 1},
            "label_smoothing is 1; it must be 0 or more, and",
        ),
        ("cross_entropy", {"label_smoothing": -0.1}, "label_smoothing is -0.1"),
        ("cross_entropy", {"class_weights": [1]}, "class_weights is [1]; it must be a number of 0"),
        ("cross_entropy", {"class_weights": [0, 0]}, "class_weights is [0, 0]"),
        ("cross_entropy", {"class_weights": [1, -1]}, "class_weights is [1, -1]"),
        ("cross_entropy", {"class_weights": [1, np.inf]}, "class_weights is [1, Infinity]"),
        ("cross_entropy", {"class_weights": {"a": 1}}, 'class_weights is {"a": 1}'),
        ("cross_entropy", {"class_weights": [-1] * 999}, "-1, ...; it must be a number of 0 or"),
        ("cross_entropy", {"ignore_index": 0.5}, "ignore_index is 0.5; it must be an integer"),
        ("cross_entropy", {"ignore_index": 1 << 31}, "ignore_index is 2147483648"),
    ],
)
def test_a_parameter_that_cannot_be_is_one_line(loss, parameters, message):
    with pytest.raises(OdtError) as caught:
        loss_of(loss, parameters)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_class_weights_are_numbers_or_text_or_a_file(tmp_path):
    expected = CrossEntropy(class_weights=(1.0, 2.0, 0.5))
    np.save(tmp_path / "w.npy", np.array([1, 2, 0.5]))
    (tmp_path / "w.json").write_text("[1, 2, 0.5]")
    for given in (
        *([1, 2, 0.5], np.array([1, 2, 0.5], np.float32), "1,2,0.5"),
        *(str(tmp_path / "w.npy"), str(tmp_path / "w.json")),
    ):
        assert loss_of("cross_entropy", {"class_weights": given}) == expected


@pytest.mark.parametrize(
    "text, content, message",
    [
        ("balanced", None, "depends on data that compiling does not see; give numbers: of each"),
        ("1;2", None, 'class_weights is "1;2"; it must be a number for each class, such as'),
        ("no.npy", None, "no.npy does not exist"),
        ("w.npy", b"\x93NUMPY", "w.npy cannot be read"),
        ("w.npy", b"cos\nsystem\n", "w.npy cannot be read"),
        ("w.json", b"[1, 2", "w.json cannot be read: it is not JSON"),
        ("w.json", b"\xff", "w.json cannot be read"),
        ("w.json", b'{"a": 1}', 'class_weights is {"a": 1}'),
        ("w.json", b"[[1, 2], [3, 4]]", "class_weights is [[1, 2], [3, 4]]"),
    ],
)
def test_class_weights_that_are_none(text, content, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / text).write_bytes(content)
    with pytest.raises(OdtError) as caught:
        loss_of("cross_entropy", {"class_weights": text})
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "loss, output, kind, expected",
    [
        (CROSS_ENTROPY, (1, 5), LABEL, ((1,), "int32")),
        (CROSS_ENTROPY, (1, 5, 2, 3), LABEL_MAP, ((1, 2, 3), "int32")),
        (BCE, (1, 5), PROBABILITIES, ((1, 5), "float32")),
        (MSE, (1, 5), VALUES, ((1, 5), "float32")),
        (L1, (1, 2, 3), VALUES, ((1, 2, 3), "float32")),
        (HUBER, (1, 5), VALUES, ((1, 5), "float32")),
    ],
)
def test_the_target_is_of_its_kind(loss: Loss, output, kind, expected):
    assert loss.kind_of(output) == kind and loss.target_of(output) == expected


@pytest.mark.parametrize(
    "loss, shape, refusal",
    [
        (CROSS_ENTROPY, (1, 2), None),
        (CROSS_ENTROPY, (1, 2, 1, 4), None),
        (CROSS_ENTROPY, (1, 1), "needs an output of shape (1, classes), or"),
        (CROSS_ENTROPY, (1, 3, 4), "found (1, 3, 4)"),
        (CROSS_ENTROPY, (1, 1, 2, 2), "found (1, 1, 2, 2)"),
        (CrossEntropy(class_weights=(1, 2)), (1, 3), "2 numbers; the output has 3 classes"),
        (CrossEntropy(ignore_index=255), (1, 3), "a sample here has one label"),
        (CrossEntropy(ignore_index=255), (1, 3, 2, 2), None),
        (CrossEntropy(ignore_index=2), (1, 3, 2, 2), "one of the 3 classes; to leave a class out"),
        (BCE, (1, 1), None),
        (MSE, (1, 3, 4), None),
    ],
)
def test_what_output_a_loss_wants(loss, shape, refusal):
    found = loss.refusal(shape)
    assert found is None if refusal is None else refusal in found


def test_parameters_are_those_that_are_not_as_by_default():
    assert CROSS_ENTROPY.parameters == HUBER.parameters == MSE.parameters == {}
    assert CrossEntropy(class_weights=(1, 2), label_smoothing=0.1).parameters == {
        "class_weights": [1.0, 2.0],
        "label_smoothing": 0.1,
    }


def test_a_loss_of_ones_own():
    @dataclass(frozen=True)
    class Twice(Loss):
        name, help, target = "twice", "", VALUES
        factor: float = 2.0

        def graph(self, emit, output, target):
            return emit(relax.op.multiply(MSE.graph(emit, output, target), relax.const(2.0)))

    assert loss_of(Twice()) == Twice() and Twice().parameters == {}
    assert replace(Twice(), factor=3.0).metrics(np.ones((1, 2)), np.zeros((1, 2))) == {"error": 1}


def cross_entropy(loss: CrossEntropy):
    """Of the "sum", divided by the number of labels, not by their weights."""
    weight = None if loss.class_weights is None else torch.tensor(loss.class_weights)

    def reference(output, target):
        target = target.long()
        ignored = -100 if loss.ignore_index is None else loss.ignore_index
        total = functional.cross_entropy(
            output,
            target,
            weight=None if weight is None else weight.to(output.dtype),
            ignore_index=ignored,
            label_smoothing=loss.label_smoothing,
            reduction="sum",
        )
        return total / max(1, int((target != ignored).sum()))

    return reference


def binary(loss: BinaryCrossEntropy):
    weight = torch.tensor(loss.positive_weight)
    return lambda y, t: functional.binary_cross_entropy_with_logits(y, t, pos_weight=weight)


REFERENCES = {
    "cross_entropy": cross_entropy,
    "bce": binary,
    "mse": lambda _: functional.mse_loss,
    "l1": lambda _: functional.l1_loss,
    "huber": lambda loss: lambda y, t: functional.huber_loss(y, t, delta=loss.delta),
}
SMOOTHED = CrossEntropy(label_smoothing=0.2)
WEIGHTED = CrossEntropy(class_weights=WEIGHTS)
BOTH = CrossEntropy(class_weights=WEIGHTS, label_smoothing=0.2)
VECTOR, MAP = (1, 5), (1, 5, 2, 3)
CASES = [
    *((loss, VECTOR) for loss in (CROSS_ENTROPY, SMOOTHED, WEIGHTED, BOTH)),
    *((replace(loss), MAP) for loss in (CROSS_ENTROPY, SMOOTHED, WEIGHTED, BOTH)),
    *((replace(loss, ignore_index=-1), MAP) for loss in (CROSS_ENTROPY, SMOOTHED, BOTH)),
    *((loss, VECTOR) for loss in (BCE, BinaryCrossEntropy(2.5), MSE, L1, HUBER, Huber(0.25))),
    (BCE, (1, 1)),
    (L1, MAP),
]


def sample(loss: Loss, shape):
    """An output with large logits, and a target, for which L1 has differences of 0."""
    generator = np.random.default_rng(0)
    output = generator.normal(0, 2, size=shape).astype(np.float32)
    output.flat[: min(2, output.size - 1)] = 60, -60
    kind, (target_shape, dtype) = loss.kind_of(shape), loss.target_of(shape)
    if kind in (LABEL, LABEL_MAP):
        target = generator.integers(0, 5, target_shape)
        if loss.ignored is not None:
            target.flat[1:4] = loss.ignored
    elif kind == PROBABILITIES:
        target = generator.integers(0, 2, target_shape) * 0.75
    else:
        target = np.where(generator.random(target_shape) < 0.3, output, 0)
    return output, target.astype(dtype)


def value_and_gradient(loss: Loss, output, target):
    def graph(emit, x, y):
        return loss.graph(emit, x, y)

    types = {n: (v.shape, str(v.dtype)) for n, v in {"target": target, "w": output}.items()}
    module = tiny.module({"w": types["w"], "target": types["target"]}, graph)
    assert module["main"].ret_ty == relax.TensorType((), "float32")
    (value,) = tiny.run(module, w=output, target=target)
    step = SparseBackward({"w"})(
        tiny.module({"x": ((1,), "float32"), **types}, lambda emit, _, y, w: graph(emit, w, y))
    )
    (gradient,) = tiny.gradients(step, x=np.zeros(1, np.float32), target=target, w=output).values()
    return float(value), gradient


@pytest.mark.parametrize("loss, shape", CASES, ids=str)
def test_value_and_gradient_are_pytorchs(loss: Loss, shape):
    output, target = sample(loss, shape)
    tensor = torch.tensor(output, dtype=torch.float64, requires_grad=True)
    expected = REFERENCES[loss.name](loss)(tensor, torch.tensor(target, dtype=torch.float64))
    expected.backward()
    value, gradient = value_and_gradient(loss, output, target)
    assert value == pytest.approx(expected.item(), rel=1e-6)
    wanted = tensor.grad.numpy()
    np.testing.assert_allclose(gradient, wanted, rtol=1e-6, atol=1e-6 * np.abs(wanted).max())


def test_pixels_that_are_all_ignored_teach_nothing():
    output = np.ones((1, 3, 2, 2), np.float32)
    value, gradient = value_and_gradient(
        CrossEntropy(ignore_index=9), output, np.full((1, 2, 2), 9, np.int32)
    )
    assert value == 0 and not gradient.any()


def test_logits_of_any_size_have_a_finite_loss():
    logits, targets = np.meshgrid([-1e4, -100, 100, 1e4], [0, 1])
    value, gradient = value_and_gradient(
        BCE, logits.reshape(1, 8).astype(np.float32), targets.reshape(1, 8).astype(np.float32)
    )
    right = (logits > 0) == (targets > 0.5)
    assert value == np.where(right, 0, np.abs(logits)).mean()
    assert gradient.tolist() == (np.where(right, 0, np.sign(logits)).reshape(1, 8) / 8).tolist()


@pytest.mark.parametrize(
    "kind, outputs, targets, expected",
    [
        (CROSS_ENTROPY, [[1, 2], [3, 0], [np.nan, 0]], [1, 1, 1], {"accuracy": 1 / 3}),
        (
            CrossEntropy(ignore_index=7),
            [[[[1, 2]], [[0, 3]]], [[[1, 2]], [[3, 0]]]],  # (2, 2, 1, 2)
            [[0, 1], [7, 1]],
            {"accuracy": 2 / 3},
        ),
        (CrossEntropy(ignore_index=7), [[[[1]], [[0]]]], [[7]], {}),
        (BCE, [[1, -1, 2], [np.inf, 1, 1]], [[1, 0, 0], [1, 1, 1]], {"accuracy": 2 / 6}),
        (BCE, [[-0.1], [0.1]], [[0.4], [0.6]], {"accuracy": 1}),
        (HUBER, [[1, 2], [np.nan, 1]], [[0, 0], [0, 0]], {"error": 2.5}),
        (MSE, [[np.nan]], [[0]], {}),
    ],
)
def test_how_right_outputs_are(kind, outputs, targets, expected):
    outputs, targets = np.array(outputs, np.float32), np.array(targets)
    found = kind.metrics(outputs, targets)
    assert found == pytest.approx(expected)
    assert kind.metrics(outputs.reshape(len(outputs), -1), targets) == found
