"""A simulation learns what the device learns: losses, outputs and parameters, bit for bit."""

import os
import tempfile

import numpy as np
import pytest
import tiny
import tiny_files
from shared import shared_path, slow, slow_after

import tvm_ondevice_train as odt
from tvm_ondevice_train.device import Session
from tvm_ondevice_train.device.protocol import DIVERGED, DeviceError
from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.simulator import Simulation, host_model
from tvm_ondevice_train.simulator.library import cache_directory

STEPS, SAMPLES = 100, 7


@pytest.fixture(autouse=True, scope="module")
def _a_cache_of_the_tests(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def data(manifest, count=SAMPLES):
    """Samples and labels as the device reads them."""
    generator = np.random.default_rng(0)
    shape = (count, *manifest.sample_shape)
    x = generator.integers(-128, 128, shape).astype(manifest.input.dtype)
    return x, generator.integers(0, manifest.classes, count).astype(np.int32)


def learned(learner, steps=STEPS) -> bytes:
    """All that `learner` tells of so many steps, evaluations among them."""
    learner.set_seed(3)
    learner.set_learning_rate(0.02)
    x, y = data(learner.manifest)
    found = []
    for step in range(steps):
        found.append(np.float32(learner.train_encoded(x[step % SAMPLES], y[step % SAMPLES])))
        if step % 10 == 9:
            found += learner.evaluate_encoded(x[step % SAMPLES], y[step % SAMPLES])
    values = learner.parameters()
    return b"".join(np.asarray(part).tobytes() for part in (*found, *values.values()))


@pytest.mark.parametrize(
    "board, quantized, options",
    slow_after(
        3,
        [
            ("host", True, {"scheme": "head"}),
            ("mps2-an500", True, {"scheme": "full"}),
            ("host", False, {"scheme": "bias:1", "optimizer": "momentum", "weight_decay": 1e-3}),
            ("mps2-an500", True, {"scheme": "head", "backward": "float32"}),
            ("mps3-an547", True, {"scheme": "full", "backward": "bfloat16"}),
            ("host", True, {"scheme": "full", "batch": 3, "optimizer": "adam"}),
        ],
    ),
)
def test_a_simulation_is_its_device(board, quantized, options, tmp_path):
    compiled = odt.compile(tiny.network(quantized), board=board, **options)
    compiled.save(tmp_path / "project")
    with Session(tmp_path / "project") as device:
        expected = learned(device)
    assert learned(Simulation(compiled)) == expected
    assert learned(Simulation(compiled, cache_bytes=0)) == expected


def test_without_a_folder_for_what_is_built_there_is_one_for_now(tmp_path, monkeypatch):
    (tmp_path / "ondevice-train").mkdir()
    (tmp_path / "ondevice-train" / "libraries").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert cache_directory().name.startswith("ondevice-train-")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 2)  # who has no home
    assert cache_directory().parent == tmp_path


def test_the_loss_of_a_map_has_all_of_its_pixels(tmp_path):
    """A sum of conditional terms in short loops, which gcc 12 makes wrong vectors of."""
    model = tiny_files.map_network(tmp_path / "map.onnx")
    simulation = Simulation(odt.compile(model, board="host", ignore_index=-1))
    generator = np.random.default_rng(0)
    x = generator.normal(size=(2, 3, 3)).astype(np.float32)
    for _ in range(20):
        labels = generator.integers(-1, tiny_files.MAP_CLASSES, (3, 3)).astype(np.int32)
        loss, logits = simulation.evaluate_encoded(x, labels)
        likelihood = logits - np.log(np.exp(logits).sum(0))
        of_label = np.take_along_axis(likelihood, np.maximum(labels, 0)[None], 0)[0]
        assert loss == pytest.approx(-of_label[labels >= 0].mean(), rel=1e-5)


@slow
def test_mcunet_on_a_board_and_simulated(tmp_path):
    """Its memory decides the format of adjoints, and which scratch kernels have."""
    root = shared_path("models/mcunet_int8")
    compiled = odt.compile(
        root / "mcunet-5fps.onnx", classes=10, scheme="bias:6", board="mps2-an500"
    )
    compiled.save(tmp_path / "project")
    with Session(tmp_path / "project") as device:
        expected = learned(device, 12)
    assert learned(Simulation(tmp_path / "project"), 12) == expected


@pytest.fixture(scope="module")
def model():
    return host_model(odt.compile(tiny.network(True), scheme="head", board="host"))


def test_a_snapshot_is_all_that_the_next_step_needs(model):
    first, second = Simulation(model), Simulation(model)
    learned(first, 5)
    second.restore(first.snapshot())
    assert second.snapshot() == first.snapshot()
    x, y = data(model.manifest)
    assert first.train_encoded(x[0], y[0]) == second.train_encoded(x[0], y[0])
    assert first.snapshot() == second.snapshot() != Simulation(model).snapshot()
    second.reset()
    assert second.snapshot() == Simulation(model).snapshot()


def test_parameters_go_in_and_out(model):
    first, second = Simulation(model), Simulation(model)
    learned(first, 5)
    second.set_parameters(first.parameters())
    assert all(np.array_equal(v, second.parameters()[n]) for n, v in first.parameters().items())
    with pytest.raises(OdtError, match=r"no trained parameter .*; there are head"):
        second.set_parameters({"conv.weight": np.zeros(1)})
    snapshot = first.snapshot()
    with pytest.raises(OdtError, match="a snapshot of 3 bytes; this model has"):
        first.restore(type(snapshot)(b"abc", 0.1, 0, 0))


def test_a_step_that_diverges_says_so(model):
    simulation = Simulation(model)
    x, y = data(model.manifest)
    with pytest.raises(DeviceError, match="the learning rate is negative or not finite"):
        simulation.set_learning_rate(-1.0)
    with pytest.raises(DeviceError, match="of the target is out of range"):
        simulation.train_encoded(x[0], np.int32(3))
    simulation.set_parameters({"head.bias": np.full(3, 3e38, np.float32)})
    simulation.set_learning_rate(1e38)
    with pytest.raises(DeviceError) as caught:
        for _ in range(9):
            simulation.train_encoded(x[0], y[0])
    assert caught.value.code == DIVERGED


def test_a_sample_that_changes_where_it_lies_is_another_one(model):
    cached, plain = Simulation(model), Simulation(model, cache_bytes=0)
    x, y = data(model.manifest)
    for _ in range(3):
        assert cached.train_encoded(x[0], y[0]) == plain.train_encoded(x[0], y[0])
        x[0] = -x[0]


def test_too_many_samples_are_not_kept_and_it_says_so(model):
    lines = []
    small = Simulation(model, cache_bytes=500, say=lines.append)
    assert learned(small, 20) == learned(Simulation(model), 20)
    assert (
        lines
        == ["the samples are too many to keep the features of all: steps take longer"] * len(lines)
        and 1 <= len(lines) <= 2
    )


@pytest.mark.parametrize(
    "options",
    [
        {"seed": 3},
        {"class_names": ("b", "x", "a"), "file_class_names": tuple("abc"), "head_start": "auto"},
    ],
)
def test_a_project_with_a_fresh_head_is_compiled_again(options, tmp_path):
    model = tiny_files.network(tmp_path / "net.onnx")
    compiled = odt.compile(model, classes=3, board="host", **options)
    initial = Simulation(compiled.save(tmp_path / "project")).parameters()
    for name, value in compiled.initial.items():
        np.testing.assert_array_equal(initial[name], value)


def test_a_project_whose_model_is_another_now(tmp_path):
    model = tiny_files.network(tmp_path / "net.onnx")
    project = odt.compile(model, board="host").save(tmp_path / "project")
    tiny_files.map_network(model)
    with pytest.raises(OdtError, match="from another content of its model file, or by another rel"):
        Simulation(project)


def test_a_project_whose_model_is_gone(tmp_path):
    odt.compile(tiny.network(True), scheme="head", board="host").save(tmp_path / "project")
    with pytest.raises(OdtError, match=r"simulate: the model file that .* was made from is not"):
        Simulation(tmp_path / "project")
