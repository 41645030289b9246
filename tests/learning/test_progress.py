"""The log of a run: what is written is what a follower reads, however it is cut."""

import os
import subprocess

import pytest
from fake_project import MANIFEST

from tvm_ondevice_train.learning.progress import NAME, Follower, ProgressLog


@pytest.fixture
def follower(tmp_path):
    follower = Follower(tmp_path)
    yield follower
    follower.close()


def test_a_follower_reads_what_is_new(follower, tmp_path):
    assert follower.update() and follower.progress is None
    with ProgressLog(tmp_path, MANIFEST, 10, 12) as log:
        assert follower.update()
        assert follower.progress.facts["model"] == "fake" and follower.progress.step == 10
        log.evaluation(10, {"accuracy": 0.5, "loss": 2.0})
        log.step(11, 1.5)
        assert follower.update()
        assert follower.progress.step == 11 and follower.progress.losses == [1.5]
        log.step(12, 1.25)
    assert not follower.update()
    progress = follower.progress
    assert (progress.losses, progress.state) == ([1.5, 1.25], "done")
    assert progress.evaluations == [(10, {"accuracy": 0.5, "loss": 2.0})]
    assert len(progress.times) == 3 and progress.times == sorted(progress.times)


def test_half_a_line_waits_for_its_other_half(follower, tmp_path):
    with ProgressLog(tmp_path, MANIFEST, 0, 2) as log:
        log.step(1, 3.0)
    whole = (tmp_path / NAME).read_text()
    (tmp_path / NAME).unlink()
    with open(tmp_path / NAME, "w", buffering=1) as file:
        for at, byte in enumerate(whole[:-1]):
            file.write(byte)
            file.flush()
            assert follower.update(), at
        file.write(whole[-1])
        file.flush()
        assert not follower.update()
    assert follower.progress.losses == [3.0]


def test_the_next_run_is_followed(follower, tmp_path):
    with ProgressLog(tmp_path, MANIFEST, 0, 1) as log:
        log.step(1, 3.0)
    assert not follower.update()
    with ProgressLog(tmp_path, MANIFEST, 0, 500) as log:
        for step in range(1, 100):
            log.step(step, 0.5)
        assert follower.update()
        assert follower.progress.losses == [0.5] * 99


def test_a_run_that_failed_says_why(follower, tmp_path):
    with pytest.raises(ValueError), ProgressLog(tmp_path, MANIFEST, 0, 1):
        raise ValueError("no such step")
    assert not follower.update()
    assert follower.progress.state == "no such step"


def test_a_run_that_was_killed_is_noticed(follower, tmp_path):
    log = ProgressLog(tmp_path, MANIFEST, 0, 9)
    log.step(1, 1.0)
    assert follower.update()
    ended = subprocess.Popen(["true"])
    ended.wait()
    text = (tmp_path / NAME).read_text().replace(f'"pid": {os.getpid()}', f'"pid": {ended.pid}')
    other = Follower(tmp_path)
    (tmp_path / NAME).write_text(text)
    assert not other.update()
    assert other.progress.state == "the run was stopped"
    other.close()
