"""A step whose loss or gradient is not finite changes nothing, says so, and can be followed."""

import numpy as np
import pytest
from tiny_models import compiled, images

from tvm_ondevice_train.boards import board as find_board
from tvm_ondevice_train.device import Session, build
from tvm_ondevice_train.device.protocol import DeviceError, Frame
from tvm_ondevice_train.device.snapshot import tensor_in
from tvm_ondevice_train.project import read_report

DIVERGED = -6
SANITIZE = "-O1 -g -fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all"
CASES = [
    ("cnn", "full", None, "float32", "sgd"),
    ("cnn_int8", "full", 3, "int16", "sgd"),
    pytest.param("cnn_int8", "full", 3, "int16", "momentum", marks=pytest.mark.slow),
    pytest.param("cnn_int8", "full", 3, "float32", "sgd", marks=pytest.mark.slow),
    pytest.param("cnn_int8", "full", 3, "bfloat16", "sgd", marks=pytest.mark.slow),
    pytest.param("cnn_int8", "full", 3, "float8", "sgd", marks=pytest.mark.slow),
    pytest.param("cnn_int8", "last:2", None, "int16", "sgd", marks=pytest.mark.slow),
]


def start(kind, scheme, classes, backward, directory, board="host", **options):
    options = {"classes": classes, "backward": backward, "learning_rate": 0.05, **options}
    model = compiled(kind, scheme, **options)
    board = find_board(board)
    project = model.save(directory, "host" if board.is_host else "baremetal")
    if board.is_host:
        build(project, SANITIZE)
    return Session(project)


def samples(device):
    x, y = images(3)
    return x, y % device.manifest.classes


def put(device, values) -> None:
    """As set_parameters, which refuses what is not finite."""
    raw = bytearray(device._request(Frame.GET_PARAMS))
    for name, value in values.items():
        tensor_in(raw, device.manifest.trained_parameters[name])[...] = value
    device._put_params(raw)


def check_refused(device, x, y) -> None:
    before, steps = device._request(Frame.GET_PARAMS), device.stats()["steps"]
    with pytest.raises(DeviceError) as error:
        device.train(x, y)
    assert error.value.code == DIVERGED
    assert device._request(Frame.GET_PARAMS) == before  # the optimizer's states, too
    assert device.stats()["steps"] == steps


def check_no_output(device, x, y) -> None:
    """A prediction that is not finite is an error, as a loss is."""
    for ask in (lambda: device.predict(x), lambda: device.evaluate(x, y)):
        with pytest.raises(DeviceError) as error:
            ask()
        assert error.value.code == DIVERGED


def train(device, x, y):
    return [device.train(*sample) for sample in zip(x, y, strict=True)], device.parameters()


def check_all_kinds(device, backward) -> None:
    x, y = samples(device)
    good = device.parameters()
    floats = [name for name in good if good[name].dtype == np.float32]

    device.set_learning_rate(3e38)  # the step, or the parameter after it, is not finite
    if floats != list(good):
        check_refused(device, x[0], y[0])
    device.set_learning_rate(0.05)
    for name in floats:
        for value in (np.nan, np.inf):
            put(device, {name: np.full_like(good[name], value)})
            check_refused(device, x[0], y[0])
            if name == "head.bias":
                check_no_output(device, x[0], y[0])
            put(device, good)
    if "head.weight" in good and backward != "float8":  # which saturates
        # The loss is finite, and the adjoint of the layers before the head is not.
        signs = np.sign(np.random.default_rng(1).normal(size=good["head.weight"].shape))
        put(device, {"head.weight": (1e37 * signs).astype(np.float32)})
        outputs = device.predict(x[0])
        assert np.isfinite(outputs).all()
        device.set_learning_rate(1e6)
        check_refused(device, x[0], outputs.argmin())
        device.set_learning_rate(0.05)
        put(device, good)


@pytest.mark.parametrize(("kind", "scheme", "classes", "backward", "optimizer"), CASES)
def test_a_step_that_diverges_changes_nothing(kind, scheme, classes, backward, optimizer, tmp_path):
    def fresh():
        return start(kind, scheme, classes, backward, tmp_path / "project", optimizer=optimizer)

    with fresh() as device:
        expected = train(device, *samples(device))
    with fresh() as device:
        check_all_kinds(device, backward)
        losses, parameters = train(device, *samples(device))
    assert losses == expected[0]
    assert all(parameters[name].tobytes() == expected[1][name].tobytes() for name in parameters)


@pytest.mark.parametrize(
    "board", ["mps2-an500", pytest.param("mps3-an547", marks=pytest.mark.slow)]
)
def test_so_it_is_on_the_device(board, tmp_path):
    with start("cnn_int8", "full", 3, "int16", tmp_path / "project", board) as device:
        check_all_kinds(device, "int16")


@pytest.mark.parametrize(("kind", "classes", "backward"), [("cnn_int8", 3, "int16")])
def test_without_rollback_only_what_is_not_finite_stays(kind, classes, backward, tmp_path):
    kept = compiled(kind, "full", classes=classes, backward=backward, learning_rate=0.05)
    options = (kind, "full", classes, backward, tmp_path / "project")
    with start(*options, rollback=False) as device:
        report = read_report(tmp_path / "project")
        assert report["rollback"] is False and report["backup_bytes"] == 0
        assert report["arena_bytes"] <= kept.report["arena_bytes"]
        (x, *_), (y, *_) = samples(device)
        good = device.parameters()

        put(device, {"head.bias": np.full_like(good["head.bias"], np.nan)})
        check_refused(device, x, y)  # the loss tells, before the first update
        put(device, good)

        device.set_learning_rate(3e38)
        with pytest.raises(DeviceError) as error:
            device.train(x, y)
        assert error.value.code == DIVERGED
        assert device.stats()["steps"] == 0
        left = device.parameters()
    assert all(np.isfinite(values).all() for values in left.values())
    assert any(left[name].tobytes() != good[name].tobytes() for name in good)
