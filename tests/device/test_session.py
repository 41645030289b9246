"""The protocol end to end: host process and emulated boards."""

from dataclasses import replace

import numpy as np
import pytest
from fake_project import CLASSES, INPUTS, MANIFEST, edited, fake_project, samples

from tvm_ondevice_train.device import Session
from tvm_ondevice_train.device.protocol import DeviceError
from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.manifest import Target
from tvm_ondevice_train.tensor_spec import TensorSpec

BIAS = MANIFEST.trained_parameters["bias"]
EMULATED = ("mps2-an500", "mps2-an386", "mps3-an547")


def ten_steps(directory):
    """Losses and final parameters of ten steps at learning rate 0.1."""
    x, y = samples(10)
    with Session(directory) as device:
        device.set_learning_rate(0.1)
        losses = [device.train(*pair) for pair in zip(x, y, strict=True)]
        return losses, device.parameters()


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    return fake_project(tmp_path_factory.mktemp("host") / "project")


@pytest.mark.parametrize("board", EMULATED)
def test_an_emulated_board_agrees_with_the_host_bit_for_bit(board, host, tmp_path):
    host_losses, host_parameters = ten_steps(host)
    losses, parameters = ten_steps(fake_project(tmp_path / "project", board))
    assert losses == host_losses
    assert losses[-1] != losses[0]
    for name, value in parameters.items():
        assert value.tobytes() == host_parameters[name].tobytes()


@pytest.mark.parametrize("board", ("host", *EMULATED))
def test_no_board_flushes_denormal_numbers_to_zero(board, tmp_path):
    halve = "for (uint32_t i = 0; i < ODT_INPUT_ELEMENTS; i++) odt->params.weight[i] *= 0.5f;"
    files = edited(model_c=("    odt->steps++;", f"    {halve}\n    odt->steps++;"))
    x, y = samples(1)
    with Session(fake_project(tmp_path / "project", board, files)) as device:
        device.set_learning_rate(0.0)
        device.set_parameters({"weight": np.full((CLASSES, INPUTS), 1e-38, np.float32)})
        device.train(x[0], y[0])
        assert (device.parameters()["weight"][0] == np.float32(5e-39)).all()


def test_a_prediction_is_the_linear_model_of_the_parameters(host):
    x, _ = samples(1)
    weight = np.random.default_rng(0).normal(size=(CLASSES, INPUTS)).astype(np.float32)
    with Session(host) as device:
        device.set_parameters({"weight": weight})
        assert device.predict(x[0]) == pytest.approx(weight @ (x[0] / 128), abs=1e-4)


def test_float_samples_are_quantized_as_the_manifest_says(host):
    x, _ = samples(1)
    with Session(host) as device:
        device.set_parameters({"weight": np.ones((CLASSES, INPUTS), np.float32)})
        as_float = device.predict(x[0] / np.float32(128))
        assert as_float.tobytes() == device.predict(x[0]).tobytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input": TensorSpec((1, INPUTS + 4), "int8")}, "input_bytes is 64 there, 68 in the man"),
        ({"output_shape": (1, 9), "classes": 9}, "output_bytes is 40 there, 36 in the manifest"),
        (
            {"loss": "mse", "classes": None, "target": Target("values", (1, CLASSES))},
            "target_bytes is 4 there, 40 in the manifest",
        ),
        (
            {"trained_parameters": {"bias": replace(BIAS, offset=BIAS.offset + 4)}},
            "params_bytes is 2,600 there, 2,604 in the manifest",
        ),
        (
            {"trained_parameters": {"weight": MANIFEST.trained_parameters["weight"]}},
            "params_bytes is 2,600 there, 2,560 in the manifest",
        ),
        ({"model_hash": 1}, "it runs model 1234abcd"),
    ],
)
def test_a_manifest_of_other_sizes_than_the_device_has_is_refused(change, message, tmp_path):
    project = fake_project(tmp_path / "project", manifest=replace(MANIFEST, **change))
    with pytest.raises(OdtError, match=message):
        Session(project)


def test_an_input_of_codes_without_a_scale_takes_codes_alone(tmp_path):
    manifest = replace(MANIFEST, input=TensorSpec((1, INPUTS), "int8"))
    x, _ = samples(1)
    with Session(fake_project(tmp_path / "project", manifest=manifest)) as device:
        assert device.predict(x[0]).shape == (CLASSES,)
        with pytest.raises(OdtError, match=r"x is float32; the model takes int8$"):
            device.predict(x[0].astype(np.float32))


def test_parameters_survive_a_round_trip_between_devices(host):
    x, y = samples(20)
    with Session(host) as first, Session(host) as second:
        for pair in zip(x, y, strict=True):
            first.train(*pair)
        second.set_parameters(first.parameters())
        assert first.predict(x[0]).tobytes() == second.predict(x[0]).tobytes()


def test_parameters_larger_than_the_arena_go_in_chunks(tmp_path):
    files = edited(model_h=("#define ODT_ARENA_BYTES 4096u", "#define ODT_ARENA_BYTES 100u"))
    value = np.arange(CLASSES * INPUTS, dtype=np.float32).reshape(CLASSES, INPUTS)
    with Session(fake_project(tmp_path / "project", files=files)) as device:
        device.set_parameters({"weight": value})
        assert (device.parameters()["weight"] == value).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"nothing": np.zeros(1)}, "no trained parameter 'nothing'; there are weight, bias"),
        ({"bias": np.zeros(9, np.float32)}, "bias is float32 of shape"),
        ({"bias": np.zeros(10, np.float64)}, "bias is float32 of shape"),
        ({"bias": np.full(10, np.nan, np.float32)}, "bias holds NaN"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(host, values, message):
    with Session(host) as device, pytest.raises(OdtError, match=message):
        device.set_parameters(values)


def test_the_device_refuses_a_bad_learning_rate_and_lives_on(host):
    x, y = samples(1)
    with Session(host) as device:
        with pytest.raises(DeviceError, match="learning rate") as refusal:
            device.set_learning_rate(float("nan"))
        assert refusal.value.code == -5
        assert device.train(x[0], y[0]) == pytest.approx(np.log(CLASSES), rel=1e-3)


def test_the_memory_account_of_a_board(tmp_path):
    x, y = samples(1)
    manifest = replace(MANIFEST, stack_bytes=4096)
    project = fake_project(tmp_path / "project", "mps2-an500", manifest=manifest)
    with Session(project) as device:
        device.train(x[0], y[0])
        stats = device.stats()
    assert stats["steps"] == 1
    assert stats["stack_reserved"] == 4096
    assert 100 < stats["stack_used"] < 1024
    assert stats["arena_bytes"] == 4096
    assert stats["state_bytes"] == 4 * (CLASSES * INPUTS + CLASSES) + 16
    assert 40 <= stats["static_bytes"] < 200  # one output vector and a label


def test_the_stack_mark_sees_every_byte_of_a_deeper_function(tmp_path):
    def mark(extra):
        scratch = f"volatile char deep[{extra}]; deep[0] = 0; float output[ODT_OUTPUT_ELEMENTS];"
        files = edited(model_c=("float output[ODT_OUTPUT_ELEMENTS];", scratch))
        x, y = samples(1)
        with Session(fake_project(tmp_path / str(extra), "mps2-an500", files)) as device:
            device.train(x[0], y[0])
            return device.stats()["stack_used"]

    assert mark(2048) - mark(1024) == 1024


def test_a_session_can_be_closed_twice(host):
    device = Session(host)
    device.close()
    device.close()


def test_a_device_that_never_answers_is_stopped(tmp_path):
    files = edited(model_c=("    odt->seed = seed;", "    for (;;) odt->seed = seed;"))
    with (
        Session(fake_project(tmp_path / "p", files=files), timeout=0.5) as device,
        pytest.raises(OdtError, match="no answer in time"),
    ):
        device.set_seed(1)


@pytest.mark.parametrize("board", ("host", "mps2-an500"))
def test_a_snapshot_is_all_that_the_next_steps_depend_on(board, tmp_path):
    x, y = samples(10)
    with Session(fake_project(tmp_path / "project", board)) as device:
        device.set_learning_rate(0.1)
        device.set_seed(7)
        device.train(x[0], y[0])
        kept = device.snapshot()
        assert (kept.learning_rate, kept.seed, kept.steps) == (np.float32(0.1), 7, 1)
        losses = [device.train(*pair) for pair in zip(x, y, strict=True)]
        device.reset()
        device.restore(kept)
        assert device.snapshot() == kept and device.learning_rate() == np.float32(0.1)
        assert [device.train(*pair) for pair in zip(x, y, strict=True)] == losses
        with pytest.raises(OdtError, match="a snapshot of 4 bytes; it has 2,600"):
            device.restore(replace(kept, params=bytes(4)))
        with pytest.raises(DeviceError, match="learning rate is negative"):
            device.restore(replace(kept, learning_rate=-1.0))
