"""A run whose host is killed goes on from its checkpoint: it is the run that it would have been."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from fake_project import MANIFEST, edited, fake_project, samples
from shared import slow

import tvm_ondevice_train as odt
from tvm_ondevice_train.device.snapshot import Snapshot
from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.run import checkpoint
from tvm_ondevice_train.run.checkpoint import NAME

OPTIONS = {
    "epochs": 3,
    "validation": 0.2,
    "eval_every": "0.5e",
    "evaluate": True,
    "save_best": True,
    "on_rising_loss": "lower",
    "seed": 4,
    "learning_rate": 0.05,
}
KILLED = """
import sys
from pathlib import Path
import tvm_ondevice_train as odt
from tvm_ondevice_train.run import checkpoint
checkpoint._SECONDS = checkpoint._SHARE = 0
project, data, options = sys.argv[1], sys.argv[2], eval(sys.argv[3])
odt.run_project(project, data, **options, on_progress=lambda *step: print(*step, flush=True))
"""
OF_THE_MACHINE = "wall_seconds"  # in run.json


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    (x, y), (x_test, y_test) = samples(200), samples(50, seed=1)
    path = tmp_path_factory.mktemp("data") / "data.npz"
    np.savez(path, x=x, y=y, x_test=x_test, y_test=y_test)
    return path


def rounding():
    """The fake model, with weights that the device's generator moves: steps and seed matter."""
    step = "    odt->steps++;"
    noise = "odt->params.bias[0] += (float)((odt->seed ^ (odt->steps * 2654435761u)) >> 8) * 1e-9f;"
    return edited(model_c=(step, f"    {noise}\n{step}"))


def killed(project, data, options, after):
    """Start a run, and kill it without a word once it has done so many steps."""
    arguments = [sys.executable, "-c", KILLED, str(project), str(data), repr(options)]
    run = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    for line in run.stdout:
        if int(line.split()[0]) >= after:
            break
    run.send_signal(signal.SIGKILL)
    run.wait()


def left(project):
    found = json.loads((project / "run.json").read_text())
    return {key: value for key, value in found.items() if key != OF_THE_MACHINE}


def test_a_killed_run_is_finished_bit_for_bit(data, tmp_path):
    whole = fake_project(tmp_path / "whole", files=rounding())
    odt.run_project(whole, data, **OPTIONS)
    project = fake_project(tmp_path / "project", files=rounding())
    killed(project, data, OPTIONS, after=137)
    so_far = json.loads((project / "run.json").read_text())
    assert 100 < so_far["steps"] == len(so_far["losses"]) < 477
    assert so_far["stopped"].startswith(f"unfinished: step {so_far['steps']} of 477")
    assert so_far["losses"] == left(whole)["losses"][: so_far["steps"]]
    odt.run_project(project, data, continued=True)
    assert left(project) == left(whole)
    for name in ("learned.npz", "losses.csv", "evaluations.csv"):
        assert (project / name).read_bytes() == (whole / name).read_bytes(), name
    assert not (project / NAME).exists()
    events = [
        [json.loads(line) for line in (directory / "progress.jsonl").read_text().splitlines()]
        for directory in (project, whole)
    ]
    plain = [[{**e, "time": 0, "pid": 0} for e in of_one] for of_one in events]
    assert plain[0] == plain[1]


@slow
def test_it_may_be_killed_more_than_once(data, tmp_path):
    options = {"steps": 200, "seed": 1}
    whole = odt.run_project(fake_project(tmp_path / "whole", files=rounding()), data, **options)
    project = fake_project(tmp_path / "project", files=rounding())
    killed(project, data, options, after=30)
    killed(project, data, {"continued": True}, after=90)
    assert odt.run_project(project, data, **options, continued=True)["losses"] == whole["losses"]


def test_a_checkpoint_that_is_cut_leaves_the_one_before_it(data, tmp_path, monkeypatch):
    project = interrupted(data, tmp_path, monkeypatch)
    before = (project / NAME).read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OdtError, match=r"cannot write .*checkpoint.npz: No space left"):
        odt.run_project(project, data, continued=True)
    assert (project / NAME).read_bytes() == before


def interrupted(data, tmp_path, monkeypatch, **options):
    """A project whose run ended after step 20 of 60."""
    monkeypatch.setattr(checkpoint, "_SECONDS", 0.0)
    monkeypatch.setattr(checkpoint, "_SHARE", 0)
    project = fake_project(tmp_path / "project")

    def at_the_20th(done, _total, _loss):
        if done == 20:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match=r"interrupted after step 20 .* --continue goes on"):
        odt.run_project(project, data, steps=60, on_progress=at_the_20th, **options)
    return project


def test_ctrl_c_loses_nothing(data, tmp_path, monkeypatch):
    whole = odt.run_project(fake_project(tmp_path / "whole"), data, steps=60)
    project = interrupted(data, tmp_path, monkeypatch)
    seen = []
    odt.run_project(project, data, continued=True, on_progress=lambda *step: seen.append(step[0]))
    assert seen == list(range(21, 61))
    assert left(project)["losses"] == whole["losses"]


def test_a_step_that_diverged_may_be_skipped_then(data, tmp_path):
    files = edited(
        model_c=(
            "    if (status != ODT_OK) return status;\n",
            "    if (status != ODT_OK) return status;\n    if (odt->steps == 9) return -6;\n",
        )
    )
    project = fake_project(tmp_path / "project", files=files)
    with pytest.raises(OdtError, match="--continue --on-divergence skip"):
        odt.run_project(project, data, steps=20)
    result = odt.run_project(project, data, continued=True, on_divergence="skip")
    assert result["diverged"] == list(range(10, 21)) and len(result["losses"]) == 9


def test_what_cannot_be_continued_is_refused(data, tmp_path, monkeypatch):
    empty = fake_project(tmp_path / "empty")
    with pytest.raises(OdtError, match="holds no run to continue"):
        odt.run_project(empty, data, continued=True)
    project = interrupted(data, tmp_path, monkeypatch, schedule="step")

    def refused(message, source=data, **options):
        with pytest.raises(OdtError, match=message):
            odt.run_project(project, source, continued=True, **options)

    refused("was begun with steps 60, not 70; leave that out", steps=70)
    refused("was begun with schedule step, not constant", schedule="constant")
    refused("was begun without learning_rate, not with 0.5", learning_rate=0.5)
    refused("the data are not those of the run .* the same --data, --augment", samples(200, seed=5))
    refused("leave out --resume and --from", resume=True)
    refused("leave out --resume and --from", start=data)
    saved = (project / NAME).read_bytes()
    (project / NAME).write_bytes(saved[:-100])
    refused("not a readable .npz file")
    np.savez(project / NAME, about=np.frombuffer(b'{"format": 1}', np.uint8))
    refused(r"checkpoint\.npz is damaged; begin anew without --continue")
    (project / NAME).write_bytes(saved.replace(b'"model_hash": 305', b'"model_hash": 306'))
    refused("not a readable|another model")


def test_checkpoints_take_a_small_part_of_the_time(monkeypatch, tmp_path):
    now, made = [0.0], []
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(checkpoint, "_arrays", lambda made: {})

    class Slow:
        """At a serial line, over which a snapshot takes five seconds."""

        stopped, manifest = None, MANIFEST
        learner = property(lambda self: self)
        state = dict

        def snapshot(self):
            now[0] += 5.0
            return Snapshot(bytes(MANIFEST.parameter_bytes), 0.1, 0, 0)

    keeper = checkpoint.Keeper(tmp_path, None, lambda *_: made.append(now[0]))
    while now[0] < 300:
        keeper.between(Slow())
        now[0] += 1.0
    assert made == [15.0, 120.0, 225.0]
