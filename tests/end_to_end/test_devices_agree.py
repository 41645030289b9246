"""Training on this computer and on every emulated board gives the same bits."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from shared import needs_models, slow_after
from tiny_models import CLASSES, FEATURES, compiled, images

from tvm_ondevice_train.boards import board as find_board
from tvm_ondevice_train.boards import boards
from tvm_ondevice_train.device import Session
from tvm_ondevice_train.losses import VALUES

STEPS = 10
TINY = [
    ("cnn", "full", None),
    ("cnn", "bias:2", 5),
    ("cnn_activated", "full", None),
    ("cnn_activated_int8", "full", None),
    ("cnn_int8", "full", None),
    ("cnn_int8", "last:2", None),
    ("cnn_int8", "bias:2", None),
    ("cnn_int8", "head", 5),
    ("autoencoder", "full", None),
]
FAST = ("cnn_int8", "last:2", None)
LIKE_ANOTHER = [
    ("cnn", "full", None),
    ("cnn", "bias:2", 5),
    ("cnn_activated", "full", None),
    ("cnn_activated_int8", "full", None),
    ("cnn_int8", "full", None),
    ("cnn_int8", "bias:2", None),
    ("autoencoder", "full", None),
]
VECTOR_CORES = ("mps2-an500", "mps2-an386", "mps3-an547")  # with inner loops of their own
OTHERS = [
    row.name
    for row in boards()
    if "baremetal" in row.platforms and row.qemu_machine and row.name not in VECTOR_CORES
]
VWW, KWS = "mlperf_tiny/vww_96_int8.tflite", "mlperf_tiny/kws_ref_model.tflite"
MCUNET = [f"mcunet_int8/{net}.onnx" for net in ("mcunet-5fps", "mbv2-w0.35", "proxyless-w0.3")]
REAL = [
    pytest.param(KWS, "full", None, marks=pytest.mark.slow),
    (KWS, "last:3", 4),
    pytest.param(VWW, "last:3", None, marks=pytest.mark.slow),
    (MCUNET[0], "bias:4", 10),
    pytest.param(VWW, "bias:4", 5, marks=pytest.mark.slow),
    *(pytest.param(net, "bias:4", 10, marks=pytest.mark.slow) for net in MCUNET[1:]),
    *(pytest.param(net, "head", 10, marks=pytest.mark.slow) for net in MCUNET),
]


def compile_case(kind, scheme, classes):
    """With all the SRAM of the board, since this is not about budgets."""
    return compiled(kind, scheme, classes=classes, learning_rate=0.02, sram_bytes=4 << 20)


def samples(model, count):
    """Samples of the model's own layout and targets, learnable for the tiny models."""
    manifest = model.manifest
    if manifest.model.startswith("cnn"):
        return images(count)
    generator = np.random.default_rng(1)
    shape = (count, *manifest.sample_shape)
    if manifest.target.kind == VALUES:
        x = generator.normal(0, 1, shape).astype(np.float32)
        return x, x
    return (
        generator.integers(-128, 128, shape).astype(np.int8),
        generator.integers(0, manifest.classes, count),
    )


def trained(model, directory, board_name=None, steps=STEPS):
    """Losses, outputs for the first sample, and parameters after `steps` steps on `board_name`."""
    limit = find_board(board_name).sram_limit_bytes if board_name else None
    board = find_board(board_name, limit) if board_name else model.board
    project = replace(model, board=board).save(directory, "baremetal" if board_name else "host")
    x, y = samples(model, 4)
    with Session(project) as device:
        device.set_seed(11)
        losses = [device.train(x[i % 4], y[i % 4]) for i in range(steps)]
        return np.float32(losses), device.predict(x[0]), device.parameters()


def assert_same_bits(one, other):
    for a, b in zip(one[:2], other[:2], strict=True):
        assert a.tobytes() == b.tobytes(), (a, b)
    assert one[2].keys() == other[2].keys()
    for name, value in one[2].items():
        assert value.tobytes() == other[2][name].tobytes(), name


def initial(model):
    return {slot.name: slot.value for slot in model.planned.slots}


@pytest.mark.parametrize(
    ("kind", "scheme", "classes"),
    [pytest.param(*case, marks=pytest.mark.slow if case in LIKE_ANOTHER else ()) for case in TINY],
)
def test_tiny_models_train_alike_on_every_board(kind, scheme, classes, tmp_path):
    model = compile_case(kind, scheme, classes)
    host = trained(model, tmp_path / "host")
    start = initial(model)
    assert any(host[2][name].tobytes() != start[name].tobytes() for name in start)
    for board in VECTOR_CORES:
        assert_same_bits(trained(model, tmp_path / board, board), host)


@cache
def on_host(*case):
    with TemporaryDirectory() as scratch:
        return trained(compile_case(*case), Path(scratch, "host"))


@pytest.mark.parametrize("board", slow_after(4, OTHERS))
@pytest.mark.parametrize(
    "case",
    [FAST, *(pytest.param(case, marks=pytest.mark.slow) for case in TINY if case != FAST)],
)
def test_tiny_models_train_alike_on_every_other_core(case, board, tmp_path):
    assert_same_bits(trained(compile_case(*case), tmp_path / board, board), on_host(*case))


@needs_models
@pytest.mark.parametrize(("kind", "scheme", "classes"), REAL)
def test_real_models_train_alike_on_host_and_cortex_m7(kind, scheme, classes, tmp_path):
    model = compile_case(kind, scheme, classes)
    host = trained(model, tmp_path / "host")
    assert np.isfinite(host[0]).all() and np.isfinite(host[1]).all()
    assert_same_bits(trained(model, tmp_path / "device", "mps2-an500"), host)


@pytest.mark.parametrize(
    ("kind", "scheme", "classes", "rate", "steps"),
    [
        ("cnn", "full", None, 0.05, 200),
        ("cnn", "head", CLASSES, 0.2, 400),
        ("cnn_int8", "full", CLASSES, 0.05, 400),
        ("cnn_int8", "head", CLASSES, 0.2, 500),
        ("autoencoder", "full", None, 0.2, 400),
    ],
)
def test_the_loss_falls_when_samples_repeat(kind, scheme, classes, rate, steps, tmp_path):
    model = compiled(kind, scheme, classes=classes, learning_rate=rate)
    losses = trained(model, tmp_path / "host", steps=steps)[0]
    first, last = losses[:4].mean(), losses[-4:].mean()
    assert last < 0.5 * first, (first, last)


def test_the_same_seed_repeats_a_run_and_another_one_does_not(tmp_path):
    model = compile_case("cnn_int8", "full", None)
    project = model.save(tmp_path / "host", "host")
    x, y = images(4)

    def parameters(seed):
        with Session(project) as device:
            device.set_seed(seed)
            for i in range(STEPS):
                device.train(x[i % 4], y[i % 4])
            return b"".join(value.tobytes() for value in device.parameters().values())

    assert parameters(1) == parameters(1) != parameters(2)


def test_prediction_changes_nothing_on_the_device(tmp_path):
    model = compile_case("autoencoder", "full", None)
    x = np.random.default_rng(0).normal(0, 1, FEATURES).astype(np.float32)
    with Session(model.save(tmp_path / "device")) as device:
        first, before = device.predict(x), device.parameters()
        assert first.tobytes() == device.predict(x).tobytes()
        assert all((before[n] == v).all() for n, v in device.parameters().items())
        assert device.stats()["steps"] == 0
