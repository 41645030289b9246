"""`run` and `monitor`: what is passed on, what is shown, which options are refused."""

import pytest
from fake_commands import RESULT, refused
from fake_project import MANIFEST, fake_project

from relay_passes.optimizers import HYPERPARAMETERS
from tvm_ondevice_train.cli import main
from tvm_ondevice_train.data import Reading
from tvm_ondevice_train.learning.progress import ProgressLog


def test_run_passes_every_option_on(runner, tmp_path):
    data = tmp_path / "data.npz"
    data.write_bytes(b"")
    options = "--steps 3 --eval --eval-every 2 --lr 0.1 --momentum 0.5 --seed 7 --port COM3"
    options += f" --from {data} --save --save-every 100 --on-divergence skip --resume"
    options += " --schedule step --warmup 0.5 --validation 0.1 --save-best --early-stop 4"
    options += " --replay 2 --on-rising-loss lower --continue --plot run.png --tensorboard events"
    assert main(["run", str(tmp_path), "--data", str(data), *options.split()]) == 0
    expected = {
        "reading": Reading(),
        "steps": 3,
        "epochs": None,
        "evaluate": True,
        "eval_every": 2,
        **dict.fromkeys(HYPERPARAMETERS),
        "learning_rate": 0.1,
        "momentum": 0.5,
        "seed": 7,
        "port": "COM3",
        "start": str(data),
        "save": True,
        "save_every": 100,
        "on_divergence": "skip",
        "resume": True,
        "schedule": "step",
        "warmup": 0.5,
        "validation": 0.1,
        "save_best": True,
        "early_stop": 4,
        "on_rising_loss": "lower",
        "replay": 2,
        "continued": True,
        "plot": "run.png",
        "tensorboard": "events",
    }
    assert runner == [(str(tmp_path), str(data), expected)]


@pytest.mark.parametrize(
    ("flag", "name", "value"),
    [
        ("--lr auto", "learning_rate", None),
        ("--eval-every 0.5e", "eval_every", "0.5e"),
        ("--eval-every 500", "eval_every", 500),
        ("", "schedule", "cosine"),
        ("", "warmup", None),
        ("", "on_rising_loss", "warn"),
    ],
)
def test_what_run_is_told_in_words(runner, model, tmp_path, flag, name, value):
    assert main(["run", str(tmp_path), "--data", model, *flag.split()]) == 0
    ((_, _, options),) = runner
    assert options[name] == value and type(options[name]) is type(value)


def test_run_shows_classes_and_what_became_of_the_rate(runner, model, tmp_path, capsys):
    few = [
        {"class": 0, "count": 3, "recall": 2 / 3, "precision": 1.0},
        {"class": 1, "count": 0, "recall": None, "precision": 0.0},
    ]
    plan = {"learning_rate": 0.05, "schedule": {"kind": "cosine", "warmup": 600, "steps": 12000}}
    told = {
        "plan": plan,
        "epochs": [{"epoch": 1, "steps": 2, "loss": 2.0}, {"epoch": 2, "steps": 1, "loss": 0.5}],
        "best_step": 2,
        "classes": few,
        "confusion": [[2, 1], [0, 0]],
        "lowered": [{"step": 3, "learning_rate": 0.025, "why": "the loss rose"}],
        "ended": "ended after step 3 of 9",
    }
    assert shown_of(told, runner, model, tmp_path, capsys) >= {
        "learning rate 0.05, cosine, warm-up 600 steps",
        "loss, means of first and last epoch 2.0000, 0.5000",
        "kept, as the best step 2",
        "class count recall precision taken for 0 1",
        "0 3 67% 100% 2 1",
        "1 0 0% . .",
        "learning rate lowered to 0.025 at step 3: the loss rose",
        "ended after step 3 of 9",
    }
    many = [{"class": n, "count": 9, "recall": n / 40, "precision": 0.5} for n in range(40)]
    shown = shown_of({**told, "classes": many, "confusion": None}, runner, model, tmp_path, capsys)
    assert shown >= {"0 9 0% 50%", "9 9 22% 50%"} and "10 9 25% 50%" not in shown
    assert "the 10 worst of 40" in shown


def shown_of(told, runner, model, tmp_path, capsys):
    """The lines that a run with these results prints, with single spaces."""
    with pytest.MonkeyPatch.context() as patch:
        for key, value in told.items():
            patch.setitem(RESULT, key, value)
        assert main(["run", str(tmp_path), "--data", model]) == 0
    return {" ".join(line.split()) for line in capsys.readouterr().out.splitlines()}


def test_run_prints_lines_without_a_terminal(runner, model, tmp_path, capsys):
    assert main(["run", str(tmp_path), "--data", model]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [f"step {i}/3  loss {x:.4f}" for i, x in enumerate(RESULT["losses"], 1)]
    rows = [line.split() for line in lines]
    assert "accuracy after 92.5%".split() in rows
    assert "peak SRAM, measured 123,456 bytes".split() in rows
    assert "of them diverged 1".split() in rows
    assert lines[-4:-1] == ["", "warning: the loss rose", ""]
    assert not any("squared" in line for line in lines)


def test_no_two_lines_of_a_summary_are_empty(runner, model, tmp_path, capsys, monkeypatch):
    rows = [{"class": n, "count": 3, "recall": 1.0, "precision": 1.0} for n in range(2)]
    for key, value in {"classes": rows, "confusion": [[3, 0], [0, 3]], "warnings": []}.items():
        monkeypatch.setitem(RESULT, key, value)
    assert main(["run", str(tmp_path), "--data", model]) == 0
    assert "\n\n\n" not in capsys.readouterr().out


def test_run_draws_a_bar_on_a_terminal(runner, model, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert main(["run", str(tmp_path), "--data", model]) == 0
    shown = capsys.readouterr().out
    assert "training" in shown and "3/3" in shown and "loss 0.5000" in shown
    assert "step 1/3" not in shown


@pytest.mark.parametrize(
    "options, message",
    [
        ("--steps 0", "--steps"),
        ("--steps -3", "--steps"),
        ("--steps 1.5", "--steps"),
        ("--epochs 0", "--epochs"),
        ("--eval-every 0", "'0' is no number of steps, nor of epochs as 0.5e"),
        ("--eval-every 2f", "'2f' is no number of steps, nor of epochs as 0.5e"),
        ("--schedule linear", "--schedule"),
        ("--warmup -1", "--warmup"),
        ("--validation 1", "--validation"),
        ("--early-stop 0", "--early-stop"),
        ("--on-rising-loss cry", "--on-rising-loss"),
        ("--lr automatic", "'automatic' is no number"),
        ("--save-every never", "--save-every"),
        ("--seed -1", "--seed"),
        ("--seed 4294967296", "--seed"),
        ("--lr nan", "0 or more, and finite"),
    ],
)
def test_a_wrong_option_of_run_is_refused(runner, model, tmp_path, capsys, options, message):
    assert message in refused(capsys, ["run", str(tmp_path), "--data", model, *options.split()])
    assert runner == []


def test_a_directory_that_is_no_project_is_refused(model, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert "empty" in refused(capsys, ["run", str(tmp_path / "empty"), "--data", model])


def test_monitor_watches_a_run(tmp_path, capsys):
    assert "is not a project" in refused(capsys, ["monitor", str(tmp_path), "--once"])
    project = fake_project(tmp_path / "project")
    assert "holds no run; start one" in refused(capsys, ["monitor", str(project), "--once"])
    with ProgressLog(project, MANIFEST, 0, 3) as log:
        log.step(1, 2.5)
    assert main(["monitor", str(project), "--once"]) == 0
    assert "fake on host, scheme full" in capsys.readouterr().out
