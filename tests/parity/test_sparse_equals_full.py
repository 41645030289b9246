"""The gradients of any scheme are slices of those of the plain step, in which everything trains.

In the plain step nothing is renumbered, split, eliminated, fused or reordered. Int8 activations
have the same codes in both, so that only the order of the sums in a gradient differs. Differences
are relative to a gradient's largest element; measured: 6e-7 at most for the nets of the paper.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import torch_nets
import tvm
from instruments.interpreter import Interpreter
from onnxruntime import quantization
from onnxruntime.quantization import shape_inference
from shared import shared_path, slow
from test_pytorch_float import CASES as NETWORKS
from test_pytorch_float import export

from relay_passes import EliminateDeadGradients, ReorderForMemory, SparseBackward, lowering
from relay_passes.memory.read_step import read_step
from relay_passes.pipeline import STEP_ROLES
from tvm_ondevice_train.frontend import load
from tvm_ondevice_train.model import Model
from tvm_ondevice_train.scheme.channel_choice import channel_axis
from tvm_ondevice_train.scheme.sliced_model import slice_model
from tvm_ondevice_train.scheme.slices import Slice
from tvm_ondevice_train.scheme.update_scheme import (
    ALL,
    FROZEN,
    RULES,
    Channels,
    UpdateScheme,
    resolve,
)
from tvm_ondevice_train.training_graph import loss_module

SCHEMES = Path(__file__).parents[2] / "benchmarks" / "schemes"
MODELS = ("mcunet-5fps", "mbv2-w0.35", "proxyless-w0.3")
LEARNING_RATE = 0.05
INT8_TOLERANCE = 1e-6
FLOAT_TOLERANCE = 1e-5  # a forward with renumbered channels adds in another order


PASS_LISTS = (  # behind `SparseBackward`
    [EliminateDeadGradients(), lowering(fuse=False), ReorderForMemory()],
    [lowering()],
    [EliminateDeadGradients(), lowering(), ReorderForMemory()],
)


class Step:
    """One training step: its loss and, by name of the parameter, gradients and new values."""

    def __init__(self, model: Model, loss: str, sample: Mapping, *passes, learning_rate: float = 0):
        module = tvm.transform.Sequential(passes)(loss_module(model, loss))
        program = read_step(module, STEP_ROLES)
        interpreter = Interpreter(program, model.parameters, ("-O0",))  # it runs once
        self.values = interpreter.run(**sample, learning_rate=np.float32(learning_rate), seed=1)
        self.loss = self.values[program.results[0].name].item()
        self.updates = {op.outputs[0].name: op for op in program.tasks if op.updates}

    @property
    def updated(self) -> dict[str, np.ndarray]:
        return {name: self.values[name] for name in self.updates}

    @property
    def gradients(self) -> dict[str, np.ndarray]:
        """What the updates read, if no kernel is fused."""
        return {
            name: self.values[op.inputs[1].name].reshape(op.outputs[0].shape)
            for name, op in self.updates.items()
        }


@dataclass(frozen=True)
class Case:
    """A model, one sample, and what the plain step makes of it."""

    model: Model
    loss: str
    sample: Mapping
    plain: Step

    @classmethod
    def of(cls, model: Model, loss: str, **sample) -> Case:
        used = {name for layer in model.layers for name in layer.parameters}
        passes = SparseBackward(sorted(used)), lowering(fuse=False)
        return cls(model, loss, sample, Step(model, loss, sample, *passes))

    def check(self, scheme: UpdateScheme | Path, tolerance: float):
        """Loss and gradients under `scheme` are those of the plain step."""
        sliced = slice_model(self.model, resolve(scheme, self.model.layers))
        passes = SparseBackward(list(sliced.slices)), EliminateDeadGradients(), lowering(fuse=False)
        step = Step(sliced.model, self.loss, self.sample, *passes)
        assert step.loss == pytest.approx(self.plain.loss, rel=tolerance)
        assert step.gradients.keys() == sliced.slices.keys()
        differences = {
            name: difference(sliced.slices[name], gradient, self.plain.gradients[name])
            for name, gradient in step.gradients.items()
        }
        print(f"{len(differences)} gradients differ by {max(differences.values()):.1e} at most")
        assert max(differences.values()) <= tolerance, differences

    def check_bits(self, scheme: UpdateScheme | Path, pass_lists):
        """Every list of passes behind `SparseBackward` trains to the same bits."""
        sliced = slice_model(self.model, resolve(scheme, self.model.layers))

        def step(*passes) -> Step:
            passes = SparseBackward(list(sliced.slices)), *passes
            return Step(sliced.model, self.loss, self.sample, *passes, learning_rate=LEARNING_RATE)

        expected = step(lowering(fuse=False))
        for passes in pass_lists:
            found = step(*passes)
            assert found.loss == expected.loss and found.updated.keys() == sliced.slices.keys()
            for name, value in expected.updated.items():
                np.testing.assert_array_equal(found.updated[name], value, name)
        before = sliced.model.parameters
        assert any((value != before[name]).any() for name, value in expected.updated.items())


def difference(part: Slice, gradient: np.ndarray, whole: np.ndarray) -> float:
    axes = zip(whole.shape, (part.rows, part.columns, None, None), strict=False)
    assert gradient.shape == tuple(n if chosen is None else len(chosen) for n, chosen in axes)
    return np.abs(part.put(whole, gradient) - whole).max() / max(np.abs(whole).max(), 1e-30)


def quantized(path: Path, samples: np.ndarray) -> Path:
    """An ONNX file as int8 QDQ, one scale for each output channel."""

    class Samples(quantization.CalibrationDataReader):
        rows = iter(samples)
        name = onnx.load(path).graph.input[0].name

        def get_next(self):
            row = next(self.rows, None)
            return None if row is None else {self.name: row}

    prepared, result = path.with_name("prepared.onnx"), path.with_name("int8.onnx")
    options = {
        "quant_format": quantization.QuantFormat.QDQ,
        "per_channel": True,
        "weight_type": quantization.QuantType.QInt8,
        "activation_type": quantization.QuantType.QInt8,
    }
    logging.disable(logging.WARNING)
    try:
        shape_inference.quant_pre_process(str(path), str(prepared))
        quantization.quantize_static(str(prepared), str(result), Samples(), **options)
    finally:
        logging.disable(logging.NOTSET)
    return result


@pytest.fixture(scope="module", params=NETWORKS, ids=lambda build: build.__name__)
def exported(request, tmp_path_factory):
    torch.manual_seed(0)
    shape, loss = NETWORKS[request.param]
    path = tmp_path_factory.mktemp("exported") / "net.onnx"
    export(torch_nets.randomized(request.param()), shape, path, "legacy")
    return path, shape, loss


@pytest.fixture(scope="module", params=["float32", "int8"])
def case(request, exported) -> Case:
    path, shape, loss = exported
    samples = np.random.default_rng(1).uniform(-0.5, 1.5, (8, *shape)).astype(np.float32)
    target, sample = [1] if loss == "cross_entropy" else samples[0], samples[0]
    if request.param == "float32":
        return Case.of(load(path), loss, input=sample, target=target)
    model = load(quantized(path, samples))
    codes = np.rint(sample / model.input.scale) + model.input.zero_point
    return Case.of(model, loss, input=np.clip(codes, -128, 127), target=target)


def random_scheme(model: Model, seed: int) -> UpdateScheme:
    """Each parameter trains in whole, in part (a weight, by any rule) or not at all."""
    generator = np.random.default_rng(seed)
    weights = {layer.weight for layer in model.layers}
    parameters = {}
    for name in dict.fromkeys(name for layer in model.layers for name in layer.parameters):
        kinds = [ALL, FROZEN, "some", "some"] if name in weights else [ALL, FROZEN]
        kind = str(generator.choice(kinds))
        parameters[name] = random_channels(model, name, generator) if kind == "some" else kind
    return UpdateScheme(parameters)


def random_channels(model: Model, name: str, generator) -> Channels:
    channels = channel_axis(model, name).channels
    count = int(generator.integers(1, channels + 1))
    rule = str(generator.choice([*RULES, "listed", "listed"]))
    if rule == "listed":
        return Channels(generator.permutation(channels)[:count].tolist())
    return Channels(count=count, rule=rule, seed=7 if rule == "random" else 0)


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_random_schemes(case, seed):
    exact = case.model.input.dtype == "int8"
    case.check(random_scheme(case.model, seed), INT8_TOLERANCE if exact else FLOAT_TOLERANCE)


@slow
@pytest.mark.parametrize("case", ["int8", "float32"], indirect=True)
def test_every_pass_list_trains_to_the_same_bits(case):
    """The other passes change what is stored, and when; never a result."""
    case.check_bits(random_scheme(case.model, 3), PASS_LISTS)


QUICK = ("mcunet-5fps", 2)


@pytest.fixture(scope="module")
def paper_case(request) -> Case:
    """A net of the paper with the first of its golden images."""
    model = load(shared_path(f"models/mcunet_int8/{request.param}-c17.onnx"))
    golden = np.load(shared_path(f"golden/{request.param}_0.npz"))
    return Case.of(model, "cross_entropy", input=golden["input_q"], target=[int(golden["label"])])


@pytest.mark.parametrize(
    "paper_case, rank",
    [
        pytest.param(net, rank, marks=() if (net, rank) == QUICK else pytest.mark.slow)
        for net in MODELS
        for rank in range(5)
    ],
    indirect=["paper_case"],
)
def test_the_schemes_of_the_benchmarks(paper_case, rank):
    """The five of each net, by size, one in the quick tests; the last list is the compiler's."""
    found = SCHEMES.glob(f"{paper_case.model.name.removesuffix('-c17')}-*kb.json")
    paths = sorted(found, key=lambda path: int(path.stem.split("-")[-1].removesuffix("kb")))
    assert len(paths) == 5
    paper_case.check(paths[rank], INT8_TOLERANCE)
    paper_case.check_bits(paths[rank], PASS_LISTS[-1:])
