"""A run learns old samples again between new ones."""

import os
import signal

import pytest
from fake_project import fake_project, samples
from replaying import replaying_project

from tvm_ondevice_train.cli import main
from tvm_ondevice_train.device import Session
from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.replay import Replay
from tvm_ondevice_train.run.run_project import run_project

DATA = samples(30)
KEPT = Replay(10, "balanced", "flash")


def run(directory, **options):
    return run_project(directory, DATA, learning_rate=0.05, schedule="constant", **options)


def test_old_samples_follow_each_new_one(tmp_path):
    project = replaying_project(tmp_path / "project", KEPT)
    result = run(project, epochs=2, replay=2, save=True)
    kept = result["replay"]
    assert len(result["losses"]) == 60
    assert (kept["rehearsals"], kept["held"], kept["seen"]) == (2, 10, 30)
    assert kept["erases"] > 1
    with Session(project) as device:
        device.load()
        assert device.stats()["steps"] == 60 * 3


def test_one_is_the_default_and_none_is_the_plain_run(tmp_path):
    project = replaying_project(tmp_path / "project", KEPT)
    plain = run(fake_project(tmp_path / "plain"), steps=10)
    assert plain["replay"] is None
    assert run(project, steps=10, replay=0)["losses"] == plain["losses"]
    replayed = run(project, steps=10)
    assert replayed["replay"]["rehearsals"] == 1
    assert replayed["losses"] != plain["losses"]


def test_a_run_that_was_saved_goes_on_with_the_samples_that_flash_kept(tmp_path):
    whole = run(replaying_project(tmp_path / "whole", KEPT), steps=25)["losses"]
    project = replaying_project(tmp_path / "project", KEPT)
    first = run(project, steps=10, save=True)
    second = run(project, steps=15, resume=True)
    assert second["first_step"] == 10
    assert second["replay"]["seen"] >= 20  # samples that were kept no more do not count
    assert first["losses"] == whole[:10]


@pytest.mark.parametrize(
    ("kept", "replay", "message"),
    [
        (
            None,
            1,
            "run: replay is 1, but the project keeps no samples; compile it with --replay N",
        ),
        (KEPT, -1, "run: replay must be at least 0, not -1"),
    ],
)
def test_rehearsals_that_cannot_be_are_refused(kept, replay, message, tmp_path):
    make = fake_project if kept is None else lambda path: replaying_project(path, kept)
    with pytest.raises(OdtError) as error:
        run(make(tmp_path / "project"), steps=1, replay=replay)
    assert str(error.value) == message


def test_a_run_with_kept_samples_is_not_continued(tmp_path):
    """No checkpoint has them; what was learned is not lost."""
    project = replaying_project(tmp_path / "project", KEPT)

    def interrupt(step, *_loss):
        if step == 20:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match=r"and --from learned.npz begins another one$"):
        run(project, epochs=2, on_progress=interrupt)
    with pytest.raises(OdtError, match="kept samples again, and those are not in a checkpoint; be"):
        run_project(project, DATA, continued=True)
    result = run(project, epochs=1, start=project / "learned.npz")
    assert len(result["losses"]) == 30 and not (project / "checkpoint.npz").exists()
    with pytest.raises(KeyboardInterrupt, match=r"and --continue goes on$"):
        run(project, epochs=2, replay=0, on_progress=interrupt)
    assert run_project(project, DATA, continued=True)["steps"] == 60


def test_forget_on_the_command_line(tmp_path, capsys):
    project = replaying_project(tmp_path / "project", KEPT)
    run(project, steps=10, save=True)
    assert main(["forget", str(project)]) == 0
    assert "nothing that it learned or kept is left" in capsys.readouterr().out
    assert set((project / "flash.bin").read_bytes()) == {0xFF}
    with pytest.raises(OdtError, match="nothing was ever saved"):
        run(project, steps=1, resume=True)
