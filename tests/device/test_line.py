"""A board at a serial line or behind a TCP port: found as it is, whatever went on there before."""

import os
from dataclasses import replace

import numpy as np
import pytest
from fake_project import MANIFEST, fake_project, samples
from wired import OnSerial, OnTcp, started

from tvm_ondevice_train.device import Session
from tvm_ondevice_train.device import session as session_module
from tvm_ondevice_train.device.protocol import DeviceError, Frame, pack_frame
from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.run.run_project import run_project

X, Y = samples(12)


@pytest.fixture(params=[OnTcp, OnSerial], scope="module")
def wired(request, tmp_path_factory):
    """A started device; `directory` is its project."""
    kind = request.param
    directory = tmp_path_factory.mktemp("line") / "project"
    fake_project(directory, kind.board, transport="uart" if kind is OnSerial else None)
    with started(kind, directory) as device:
        yield device


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    with Session(fake_project(tmp_path_factory.mktemp("host") / "project")) as device:
        return train(device), device.parameters()


def train(device, begin=0, end=None):
    return [device.train(*pair) for pair in zip(X[begin:end], Y[begin:end], strict=True)]


def connect(wired):
    return Session(wired.directory, port=wired.port)


def test_a_device_goes_on_between_sessions(wired, expected):
    with connect(wired) as device:
        device.reset()
        losses = train(device, 0, 5)
    with connect(wired) as device:
        assert device.stats()["steps"] == 5
        losses += train(device, 5)
        assert losses == expected[0]
        for name, value in device.parameters().items():
            assert value.tobytes() == expected[1][name].tobytes()
        loss, outputs = device.evaluate(X[0], Y[0])
        assert loss > 0 and outputs.tobytes() == device.predict(X[0]).tobytes()
        with pytest.raises(OdtError, match="only a program that was started here"):
            device.cut_power()
    assert device.counts == {}


FRAME = pack_frame(Frame.TRAIN, X[0].tobytes() + np.int32(Y[0]).tobytes())


@pytest.mark.parametrize(
    "before",
    [b"AT\r\n" * 50, FRAME[:30], FRAME[:-1], pack_frame(Frame.HELLO) * 3, FRAME + b"\0" * 5],
    ids=["modem", "begun", "almost", "unheard", "heard"],
)
def test_a_device_is_found_whatever_was_sent_before(before, wired):
    wired.send(before)
    with connect(wired) as device:
        device.reset()
        assert device.train(X[0], Y[0]) == pytest.approx(np.log(10), rel=1e-3)
        assert device.stats()["steps"] == 1


def test_a_run_over_the_line_starts_anew_and_measures_what_can_be(wired, tmp_path):
    np.savez(tmp_path / "data.npz", x=X, y=Y)
    results = [run_project(wired.directory, tmp_path / "data.npz", port=wired.port) for _ in "ab"]
    assert results[0]["losses"] == results[1]["losses"]
    assert results[0]["flash_bytes"] is results[0]["instructions_per_step"] is None
    if isinstance(wired, OnSerial):
        assert 6000 < results[0]["peak_sram_bytes"] < 12000
        assert results[0]["cycles_per_step"] > 0


def test_a_board_with_another_program_is_refused(wired, tmp_path):
    other = fake_project(tmp_path / "other", manifest=replace(MANIFEST, model_hash=1))
    with pytest.raises(OdtError, match=r"it runs model 1234abcd, .* holds 00000001; bring"):
        Session(other, port=wired.port)


def test_a_board_without_flash_says_so(wired):
    with connect(wired) as device:
        if isinstance(wired, OnTcp):
            assert device.save().sequence == 1
        else:
            with pytest.raises(DeviceError, match="this board keeps nothing"):
                device.save()


@pytest.mark.parametrize(
    ("port", "reason"),
    [
        ("/dev/none", "No such file or directory"),
        ("socket://127.0.0.1:9", "Connection refused"),
        ("carrier://pigeon", "protocol 'carrier' not known"),
    ],
)
def test_a_port_that_cannot_be_opened_is_refused(port, reason, tmp_path):
    with pytest.raises(OdtError, match=f"^device: cannot open {port}: .*{reason}") as error:
        Session(fake_project(tmp_path / "project"), port=port)
    assert "\n" not in str(error.value)


def test_a_line_where_nobody_answers_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(session_module, "_GREETING_SECONDS", 0.1)
    ours, theirs = os.openpty()
    with pytest.raises(OdtError, match=r"no answer in time at .*; is the project's program on"):
        Session(fake_project(tmp_path / "project"), port=os.ttyname(theirs))
    os.close(ours)
    os.close(theirs)
