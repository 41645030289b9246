"""Kept samples in a compiled model: the account is what the linker says, features are exact."""

import pytest
from shared import slow
from tiny_models import compiled, images

from tvm_ondevice_train.boards import board as find_board
from tvm_ondevice_train.device import Session, build
from tvm_ondevice_train.device.toolchain import run_tool
from tvm_ondevice_train.project import read_report

X, Y = images(12)
KEPT = [("ram", "sample"), ("flash", "features"), ("ram", "features"), ("flash", "sample")]
CASES = [KEPT[1], *(pytest.param(*case, marks=slow) for case in (KEPT[0], *KEPT[2:]))]


def life(project):
    """Losses of new and of kept samples, and what the device uses."""
    losses = []
    with Session(project) as device:
        for x, y in zip(X, Y, strict=True):
            losses.append(device.train(x, y))
            device.remember(x, y)
            losses.append(device.rehearse())
        return losses, device.stats()


@pytest.fixture(scope="module")
def whole_samples(tmp_path_factory):
    path = tmp_path_factory.mktemp("host") / "project"
    return life(compiled("cnn_int8", "last:2", board="host", replay=6).save(path))[0]


@pytest.mark.parametrize(("memory", "of"), CASES)
def test_features_are_exact_and_the_account_holds(memory, of, whole_samples, tmp_path):
    options = {"replay": 6, "replay_in": memory, "replay_of": of}
    project = compiled("cnn_int8", "last:2", board="mps2-an500", **options).save(tmp_path / "p")
    report = read_report(project)
    losses, stats = life(project)
    assert losses == whole_samples
    assert report["static_bytes"] - 16 <= stats["static_bytes"] <= report["static_bytes"]
    assert report["replay_bytes"] < report["static_bytes"]
    assert stats["stack_used"] <= report["stack_bytes"]
    symbol = _size_of(build(project), "replay")
    assert report["replay_bytes"] == symbol + 4  # and the pointer to it
    if memory == "flash":
        flash = (project / "flash.bin").stat().st_size
        assert flash == 2 * 4096 + report["replay_flash_bytes"]
    assert report["replay_flash_bytes"] % 4096 == 0


def _size_of(program, name):
    """Bytes of a static variable of the program, as the linker laid it out."""
    tool = find_board("mps2-an500").compiler.replace("gcc", "nm")
    lines = run_tool([tool, "-S", str(program)]).stdout.splitlines()
    (size,) = [int(one.split()[1], 16) for one in lines if one.split()[-1].split(".")[0] == name]
    return size
