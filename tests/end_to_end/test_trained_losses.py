"""Training with each loss on the generated C: PyTorch's values, and targets that C refuses."""

import subprocess

import numpy as np
import pytest
import tiny
import torch
from shared import slow_after
from torch.nn import functional
from tvm import relax

import tvm_ondevice_train as odt
from tvm_ondevice_train.c_runtime import runtime_dir
from tvm_ondevice_train.device import Session
from tvm_ondevice_train.losses import (
    BCE,
    L1,
    BinaryCrossEntropy,
    CrossEntropy,
    Huber,
    MeanSquaredError,
)
from tvm_ondevice_train.model import Model, TensorSpec

STEPS, RATE = 20, 0.05
WEIGHTS = (0.5, 2.0, 1.0)
SMOOTHED = CrossEntropy(class_weights=WEIGHTS, label_smoothing=0.1)
OF_MAPS = CrossEntropy(class_weights=WEIGHTS, label_smoothing=0.1, ignore_index=255)


def segmenter() -> Model:
    """Two convolutions; 3 classes for each of 4x4 pixels, input (1, 2, 4, 4)."""
    generator = np.random.default_rng(0)
    values = {
        "conv.weight": generator.normal(0, 0.3, (4, 2, 3, 3)).astype(np.float32),
        "conv.bias": np.zeros(4, np.float32),
        "head.weight": generator.normal(0, 0.5, (3, 4, 1, 1)).astype(np.float32),
        "head.bias": np.zeros(3, np.float32),
    }

    def layer(emit, x, weight, bias, padding):
        column = emit(relax.op.reshape(bias, (1, -1, 1, 1)))
        return emit(relax.op.add(emit(relax.op.nn.conv2d(x, weight, padding=padding)), column))

    def body(emit, x, *parameters):
        hidden = emit(relax.op.nn.relu(layer(emit, x, *parameters[:2], 1)))
        return layer(emit, hidden, *parameters[2:], 0)

    types = {"x": ((1, 2, 4, 4), "float32"), **{n: (v.shape, "float32") for n, v in values.items()}}
    return Model("maps", tiny.module(types, body), values, TensorSpec((1, 2, 4, 4), "float32"))


class Network:
    """`tiny.network()`, or `segmenter()`, in PyTorch, trained with plain gradient descent."""

    def __init__(self, model: Model, loss):
        self.is_map, self.loss = len(model.output_shape) == 4, loss
        self.values = {
            name: torch.tensor(value, requires_grad=True)
            for name, value in model.parameters.items()
        }
        self.optimizer = torch.optim.SGD(self.values.values(), lr=RATE)

    def train(self, x, y) -> float:
        of = [self.values[f"{n}.{p}"] for n in ("conv", "head") for p in ("weight", "bias")]
        hidden = functional.conv2d(torch.tensor(x)[None], *of[:2], padding=int(self.is_map)).relu()
        if not self.is_map:
            hidden = hidden.mean((2, 3), keepdim=True)
        output = functional.conv2d(hidden, *of[2:])
        loss = reference(self.loss, output if self.is_map else output.reshape(1, 3), y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()


def reference(loss, output: torch.Tensor, y) -> torch.Tensor:
    """The loss by PyTorch; of labels the "sum" over their number, not over their weights."""
    target = torch.tensor(np.asarray(y)[None])
    if isinstance(loss, CrossEntropy):
        ignored = -100 if loss.ignore_index is None else loss.ignore_index
        total = functional.cross_entropy(
            output,
            target.long(),
            weight=torch.tensor(loss.class_weights),
            ignore_index=ignored,
            label_smoothing=loss.label_smoothing,
            reduction="sum",
        )
        return total / int((target != ignored).sum())
    if isinstance(loss, BinaryCrossEntropy):
        weight = torch.tensor(loss.positive_weight)
        return functional.binary_cross_entropy_with_logits(output, target, pos_weight=weight)
    if isinstance(loss, Huber):
        return functional.huber_loss(output, target, delta=loss.delta)
    return (functional.mse_loss if isinstance(loss, MeanSquaredError) else functional.l1_loss)(
        output, target
    )


def samples(model: Model, loss):
    """Inputs and targets of STEPS samples."""
    generator, (count, *shape) = np.random.default_rng(1), (STEPS, *model.input.shape[1:])
    x = generator.normal(size=(count, *shape)).astype(np.float32)
    if model.input.dtype == "int8":
        x = np.clip(np.round(x / 0.1), -128, 127).astype(np.int8)
    if isinstance(loss, CrossEntropy):
        y = generator.integers(0, 3, (count, *model.output_shape[2:]))
        if loss.ignore_index is not None:
            y[:, 0] = loss.ignore_index
        return x, y
    y = generator.normal(size=(count, 3)).astype(np.float32)
    return x, (y > 0).astype(np.float32) if isinstance(loss, BinaryCrossEntropy) else y


def project(directory, model, loss, **options):
    options = {"scheme": "full", "board": "host", "learning_rate": RATE, "loss": loss, **options}
    return odt.compile(model, **options).save(directory)


CASES = [(OF_MAPS,), (BinaryCrossEntropy(2.5),), (SMOOTHED,), (L1,), (Huber(0.5),)]


@pytest.mark.parametrize("loss", slow_after(2, CASES, ids=(str(c[0]) for c in CASES)))
def test_steps_are_those_of_pytorch(loss, tmp_path):
    model = segmenter() if loss is OF_MAPS else tiny.network()
    network = Network(model, loss)
    with Session(project(tmp_path / "p", model, loss)) as device:
        for x, y in zip(*samples(model, loss), strict=True):
            assert device.train(x, y) == pytest.approx(network.train(x, y), rel=1e-5)
        ours = device.parameters()
    theirs = {name: value.detach().numpy() for name, value in network.values.items()}
    found, expected = (np.concatenate([v[n].ravel() for n in ours]) for v in (ours, theirs))
    assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()


@pytest.mark.parametrize("loss", slow_after(1, [(Huber(0.5),), (BCE,), (SMOOTHED,), (L1,)]))
def test_an_int8_networks_head_follows_the_gradient_of_its_output(loss, tmp_path):
    """What the bias of the last layer moves by is that of the loss at the device's output."""
    model = tiny.network(quantized=True)
    with Session(project(tmp_path / "p", model, loss)) as device:
        for x, y in list(zip(*samples(model, loss), strict=True))[:5]:
            before = device.parameters()["head.bias"]
            value, output = device.evaluate(x, y)
            logits = torch.tensor(output[None], requires_grad=True)
            expected = reference(loss, logits, y)
            expected.backward()
            assert value == pytest.approx(expected.item(), rel=1e-6)
            assert device.train(x, y) == value
            moved = (before - device.parameters()["head.bias"]) / RATE
            np.testing.assert_allclose(moved, logits.grad.numpy()[0], rtol=1e-5, atol=2e-6)


PROGRAM = """
#include <math.h>
#include <stdio.h>
#include "model.h"
static odt_t odt;
static uint8_t arena[ODT_ARENA_BYTES] __attribute__((aligned(ODT_ARENA_ALIGN)));
static odt_input_t input[ODT_INPUT_ELEMENTS];
static float output[ODT_OUTPUT_ELEMENTS];
int main(void) {
  const odt_target_t values[] = {VALUES};
  odt_target_t target[ODT_TARGET_ELEMENTS] = {0};
  float loss;
  if (odt_init(&odt, arena, sizeof arena) != ODT_OK) return 1;
  for (unsigned i = 0; i < sizeof values / sizeof *values; ++i) {
    target[ODT_TARGET_ELEMENTS - 1] = values[i];
    const int trained = odt_train_step(&odt, input, target, &loss);
    if (odt_evaluate(&odt, input, target, output, &loss) != trained) return 2;
    printf("%d ", trained);
  }
  return 0;
}
"""
OK, LABEL, NOT_FINITE = 0, -3, -4
MAPS = {0: OK, 2: OK, 255: OK, 3: LABEL, -1: LABEL, 254: LABEL, 256: LABEL, -(2**31): LABEL}
PROBABILITIES = {
    **{"0.0f": OK, "-0.0f": OK, "1.0f": OK, "0.25f": OK, "1e-40f": OK, "1.0000001f": LABEL},
    **{"-1e-40f": LABEL, "-1.0f": LABEL, "2.0f": LABEL, "NAN": NOT_FINITE, "-INFINITY": NOT_FINITE},
}


@pytest.mark.parametrize(
    "model, loss, expected",
    slow_after(
        1,
        [(segmenter, OF_MAPS, MAPS), (tiny.network, BCE, PROBABILITIES)],
        ids=["maps", "probabilities"],
    ),
)
def test_c_refuses_a_target_that_cannot_be(model, loss, expected, tmp_path):
    files = odt.compile(model(), board="host", loss=loss).files
    values = ", ".join(map(str, expected)).replace(str(-(2**31)), "INT32_MIN")
    for name, text in {**files, "main.c": PROGRAM.replace("VALUES", values)}.items():
        (tmp_path / name).write_text(text)
    flags = f"-std=c99 -Wall -Wextra -Werror -fsanitize=undefined -I. -I{runtime_dir()}/include"
    command = ["gcc", *flags.split(), "main.c", "model.c", "-o", "program", "-lm"]
    subprocess.run(command, cwd=tmp_path, check=True)
    found = subprocess.run([tmp_path / "program"], capture_output=True, text=True, check=True)
    assert list(map(int, found.stdout.split())) == list(expected.values())
