"""The view of a run: its numbers, its curves, and when it ends."""

import subprocess
import sys
import threading
import time

import pytest
from fake_project import MANIFEST

from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.learning.progress import Progress, ProgressLog
from tvm_ondevice_train.run.monitor import monitor, view


def progress(losses, evaluations=(), state="running"):
    facts = {
        "model": "kws",
        "board": "mps2-an500",
        "scheme": "bias:2",
        "pid": 1,
        "time": 100.0,
        "first": 1000,
        "last": 2000,
    }
    found = Progress(facts, list(losses), evaluations=list(evaluations), state=state)
    found.times = [100.0 + step / 50 for step in range(len(losses) + 1)]
    return found


def test_the_numbers():
    accuracy = [
        (1000, {"of": "test", "accuracy": 0.25, "loss": 2.0}),
        (1200, {"of": "test", "accuracy": 0.75, "loss": 1.0}),
    ]
    title, numbers, *_ = view(progress([8.0] * 200 + [1.0, 2.0] * 50, accuracy), 120)
    assert title == "kws on mps2-an500, scheme bias:2"
    assert numbers.split("   ") == [
        "step 1,300 of 2,000",
        "50.0 steps/s, 0:14 left",
        "loss 1.5000 (last 100)",
        "75.0% right at step 1,200",
    ]


def test_a_run_that_ended_has_no_time_left():
    numbers = view(progress([1.0], state="device: it died"), 120)[1]
    assert numbers == "step 1,001 of 2,000   device: it died   loss 1.0000 (last 1)"


@pytest.mark.parametrize("key", ["accuracy", "error"])
def test_a_curve_for_the_loss_and_one_for_the_test_set(key):
    points = [(s, {"of": "test", key: s / 1000, "loss": 1.0}) for s in (1000, 1100, 1200)]
    points.insert(1, (1050, {"of": "validation", key: 9.0, "loss": 1.0}))
    lines = view(progress([3.0, 2.5, 2.0], points), 60, ascii_only=True)
    assert lines[3] == "loss" and lines[4].split()[0] == "3" and lines[15].split()[0] == "2"
    assert lines[17] == f"{key}, of the test set"
    assert lines[18].split()[0] == "1.2" and lines[-1].split()[0] == "1"
    assert max(map(len, lines)) <= 60
    assert all(line.isascii() for line in lines)


def test_before_the_first_step_there_is_no_curve():
    assert len(view(progress([]), 60)) == 2


def test_once_shows_how_it_stands(tmp_path, capsys):
    with pytest.raises(OdtError, match="holds no run; start one"):
        monitor(tmp_path, once=True)
    with ProgressLog(tmp_path, MANIFEST, 0, 3) as log:
        log.step(1, 2.5)
        monitor(tmp_path, once=True)
    shown = capsys.readouterr().out
    assert "step 1 of 3" in shown and "loss 2.5000" in shown


def test_without_a_terminal_it_prints_lines_until_the_run_ends(tmp_path, capsys):
    def train():
        time.sleep(0.3)
        with ProgressLog(tmp_path, MANIFEST, 0, 2) as log:
            log.step(1, 2.0)
            time.sleep(0.6)
            log.step(2, 1.0)

    runner = threading.Thread(target=train)
    runner.start()
    monitor(tmp_path)
    runner.join()
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("step 1 of 2") for line in lines[:-1])
    assert lines[-1].startswith("step 2 of 2   done   loss 1.5000")


def test_on_a_terminal_it_draws_in_place(tmp_path):
    with ProgressLog(tmp_path, MANIFEST, 0, 2) as log:
        log.step(1, 2.0)
        log.step(2, 1.0)
    program = f"import tvm_ondevice_train.run.monitor as m; m.monitor({str(tmp_path)!r})"
    environment = {"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": "80", "PYTHONIOENCODING": "utf8"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "step 2 of 2   done" in done.stdout
    assert any("\u2800" < sign <= "\u28ff" for sign in done.stdout)


@pytest.mark.parametrize(
    "text",
    [
        "no json\n",
        "[]\n",
        '{"loss": 1}\n{"loss": "x"}\n',
        '{"pid": 1, "time": 1, "first": 0, "last": 2, "model": "m", "board": "b"}\n',
        '{"pid": 1e400, "time": "x", "first": 0, "last": 2, "model": 1, "board": 1, "scheme": 1}\n',
    ],
)
def test_a_damaged_log_is_one_line(text, tmp_path):
    (tmp_path / "progress.jsonl").write_text(text)
    with pytest.raises(OdtError, match=r"progress\.jsonl is damaged; start a run"):
        monitor(tmp_path, once=True)
