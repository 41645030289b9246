"""A device keeps samples that the host sends, learns them again, and forgets them."""

import numpy as np
import pytest
from fake_project import fake_project, samples
from replaying import replaying_project
from shared import slow

from tvm_ondevice_train.device import Session
from tvm_ondevice_train.device.protocol import NO_SAMPLES, DeviceError
from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.replay import Replay

EMPTY = -34
X, Y = samples(40)


def refused(method, *arguments):
    with pytest.raises(DeviceError) as error:
        method(*arguments)
    return error.value.code


def life(device):
    """Losses of new and old samples, and what was remembered last."""
    device.set_seed(3)
    losses = []
    for x, y in zip(X, Y, strict=True):
        losses.append(device.train(x, y))
        remembered = device.remember(x, y)
        losses.append(device.rehearse())
    return losses, remembered


@pytest.fixture(scope="module")
def in_ram(tmp_path_factory):
    path = tmp_path_factory.mktemp("ram") / "project"
    with Session(replaying_project(path, Replay(12, "balanced", "ram"))) as device:
        return life(device)


@pytest.mark.parametrize(
    ("board", "transport"),
    [("host", None), ("microbit", "uart"), pytest.param("mps2-an500", None, marks=slow)],
)
def test_flash_and_ram_keep_and_draw_the_same_on_every_device(board, transport, in_ram, tmp_path):
    kept = Replay(12, "balanced", "flash")
    project = replaying_project(tmp_path / "project", kept, board, transport=transport)
    with Session(project) as device:
        losses, remembered = life(device)
        assert device.stats()["steps"] == 2 * len(X)
    assert losses == in_ram[0]
    assert (remembered.held, remembered.seen) == (12, len(X))
    assert remembered.erases > 1 and in_ram[1].erases == 0


def test_what_flash_keeps_outlasts_power_and_a_reset(tmp_path):
    project = replaying_project(tmp_path / "project", Replay(12, "reservoir", "flash"))
    with Session(project) as device:
        for x, y in zip(X[:5], Y[:5], strict=True):
            device.remember(x, y)
        device.cut_power()
    with Session(project) as device:
        device.reset()
        device.rehearse()
        assert device.remember(X[5], Y[5]).held == 6


def test_what_ram_keeps_ends_with_a_reset(tmp_path):
    project = replaying_project(tmp_path / "project", Replay(12, "ring", "ram"))
    with Session(project) as device:
        assert refused(device.rehearse) == NO_SAMPLES
        assert device.remember(X[0], Y[0]).kept
        device.rehearse()
        device.reset()
        assert refused(device.rehearse) == NO_SAMPLES


@pytest.mark.parametrize("memory", ["flash", pytest.param("ram", marks=slow)])
def test_a_device_that_forgets_holds_nothing(memory, tmp_path):
    project = replaying_project(tmp_path / "project", Replay(12, "balanced", memory))
    with Session(project) as device:
        compiled = device.parameters()
        life(device)
        device.save()
        assert not np.array_equal(device.parameters()["weight"], compiled["weight"])
        device.forget()
        assert all(np.array_equal(v, compiled[name]) for name, v in device.parameters().items())
        assert refused(device.rehearse) == NO_SAMPLES
        assert refused(device.load) == EMPTY
        assert device.stats()["steps"] == 0
        assert set((project / "flash.bin").read_bytes()) == {0xFF}
        assert device.remember(X[0], Y[0]).seen == 1


def test_a_device_that_keeps_no_samples_forgets_too(tmp_path):
    project = fake_project(tmp_path / "project")
    with Session(project) as device:
        device.train(X[0], Y[0])
        device.save()
        device.forget()
        assert refused(device.load) == EMPTY


def test_a_project_without_replay_says_how_to_have_it(tmp_path):
    message = "device: the project keeps no samples; compile it with --replay N"
    with Session(fake_project(tmp_path / "project")) as device:
        for call in (device.rehearse, lambda: device.remember(X[0], Y[0])):
            with pytest.raises(OdtError) as error:
                call()
            assert str(error.value) == message


def test_a_sample_that_cannot_be_trained_is_not_kept(tmp_path):
    project = replaying_project(tmp_path / "project", Replay(12, "ring", "ram"))
    with Session(project) as device:
        sample, target = X[0], np.array([10], np.int32)
        assert refused(device.remember_encoded, sample, target) == -3
        assert refused(device.rehearse) == NO_SAMPLES
