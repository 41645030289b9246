"""A project of each kind of optimizer, loss, head and batch, through every command."""

import json

import numpy as np
import pytest
from onnx_runs import outputs
from shared import slow, slow_after
from tiny_models import CLASSES, export_int8, images

from tvm_ondevice_train.cli import main
from tvm_ondevice_train.device import Session

USED, MOST, SAMPLES = CLASSES - 1, CLASSES + 1, 10
ROOM = f"--classes {USED} --max-classes {MOST}"
ADAMW = "--optimizer adamw --optimizer-state int8 --weight-decay 0.01"
KINDS = {
    "all at once": f"{ADAMW} --batch 4 --clip-norm 1 --replay 6 --replay-of features "
    f"--head cosine {ROOM}",
    "bce": "--loss bce --positive-weight 2 --optimizer momentum --replay 3 --replay-in flash",
    "adamw": f"{ADAMW} --label-smoothing 0.1",
    "batch": "--batch 4 --accumulator int16 --optimizer adam",
    "room": ROOM,
    "cosine": f"--head cosine {ROOM}",
    "huber": "--loss huber --delta 0.5 --replay 3 --replay-policy ring",
    "an int8 head": "--head int8 --batch 3 --clip-norm 0.5",
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return export_int8(tmp_path_factory.mktemp("model"))


def samples(kind: str, path):
    """Of `kind`, written to `path`: images, and labels, decisions or values."""
    x, y = images(SAMPLES)
    if "--loss" in KINDS[kind]:
        y = np.eye(CLASSES, dtype=np.float32)[y]
    np.savez(path, x=x, y=y)
    return path


def done(words: str, *paths) -> None:
    assert main([*words.format(*paths).split()]) == 0


def trained(model, kind: str, board: str, directory):
    """(its data, its project), compiled, compared with ONNX Runtime and trained."""
    data, project = samples(kind, directory / "data.npz"), directory / "project"
    words = f"compile {{}} -o {{}} --scheme last:2 --lr 0.01 --check --board {board} {KINDS[kind]}"
    done(words, model, project)
    done("run {} --data {} --steps 9 --eval --save", project, data)
    return data, project


def learned(path) -> dict[str, bytes]:
    with np.load(path) as arrays:
        return {name: arrays[name].tobytes() for name in arrays}


@pytest.mark.parametrize("kind", slow_after(1, KINDS))
def test_what_was_learned_goes_out_and_in(kind, model, tmp_path):
    data, project = trained(model, kind, "host", tmp_path)
    saved, network = tmp_path / "saved.npz", tmp_path / "network.onnx"
    done("export {} -o {} --saved", project, saved)
    assert learned(saved) == learned(project / "learned.npz")
    done("export {} -o {} --saved", project, network)
    with Session(project) as device:
        device.load()
        x, _ = images(SAMPLES)
        predicted = [device.predict(sample) for sample in x]
        np.testing.assert_allclose(outputs(network, x), predicted, rtol=1e-4, atol=1e-4)
    done("import {} {}", project, saved)
    done("run {} --data {} --steps 2 --resume", project, data)
    run = json.loads((project / "run.json").read_text())
    assert run["first_step"] == 0 and np.isfinite(run["losses"]).all()


@slow
@pytest.mark.parametrize("kind", KINDS)
def test_check_knows_it(kind, model, tmp_path, capsys):
    data = samples(kind, tmp_path / "data.npz")
    done(f"check {{}} --data {{}} --scheme last:2 --board host {KINDS[kind]}", model, data)
    assert "nothing is in the way" in capsys.readouterr().out


@slow
def test_an_emulated_board_does_all_at_once_as_the_host_does(model, tmp_path):
    found = {}
    for board in ("host", "mps2-an500"):
        (tmp_path / board).mkdir()
        _, project = trained(model, "all at once", board, tmp_path / board)
        found[board] = json.loads((project / "run.json").read_text())
    for key in ("losses", "evaluations", "replay", "confusion"):
        assert found["host"][key] == found["mps2-an500"][key]
