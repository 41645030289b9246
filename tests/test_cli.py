"""The command line: what is passed on, what is shown, and one line for every mistake."""

import json
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from fake_project import MANIFEST, fake_project

import tvm_ondevice_train
from relay_passes.optimizers import HYPERPARAMETERS, Momentum
from tvm_ondevice_train.cli import main
from tvm_ondevice_train.data import Reading
from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.learning.progress import ProgressLog
from tvm_ondevice_train.losses import LOSSES
from tvm_ondevice_train.options import Options

ROOT = Path(__file__).resolve().parent.parent
REPORT = {
    "model": "kws",
    "scheme": "bias:2",
    "peak_sram_bytes": 131072,
    "arena_bytes": 100000,
    "arena_lower_bound_bytes": 99984,
    "trainable_state_bytes": 20000,
    "stack_bytes": 8192,
    "flash_bytes": 524288,
    "flash_holds_code": True,
    "not_trained": {"k": "a single number", "a": "b", "c": "d", "e": "f"},
    "output": "logits; the softmax is left to the loss",
    "plain_loops": [
        {"op": "conv:qconv2d", "macs": 27000, "share": 0.01, "reason": "odt_window has no dilation"}
    ],
    "macs_forward": 2656768,
    "macs_forward_integer": 2656768,
    "macs_backward": 123456,
    "macs_backward_integer": 61728,
    "backward": "int16",
    "sram_budget_bytes": 262144,
    "flash_budget_bytes": 1048576,
    "backup_bytes": 4096,
    "batch": 4,
    "accumulator": "float32",
    "accumulator_bytes": 1048,
    "head": "the model's own, as float32",
    "trained_parameters": {"w": {"shape": [4, 64]}, "b": {"shape": [4]}},
}
RESULT = {
    "losses": [2.5, 1.25, 0.5],
    "steps": 4,
    "diverged": [2],
    "warnings": ["the loss rose"],
    "accuracy_before": 0.5,
    "accuracy_after": 0.925,
    "error_before": None,
    "peak_sram_bytes": 123456,
    "instructions_per_step": 7654321,
    "wall_seconds": 1.5,
}


class FakeCompiled:
    """Its report is only in the project that it saves, as that of the flash with its code is."""

    def __init__(self):
        self.saved, self.report = None, REPORT

    def save(self, directory, platform=None, transport=None, force=False, say=print):
        self.saved = directory, platform, transport
        Path(directory).mkdir(parents=True)
        Path(directory, "report.json").write_text(json.dumps(self.report))
        return Path(directory)


@pytest.fixture
def compiler(monkeypatch, tmp_path):
    """Replaces `tvm_ondevice_train.compile`; `calls` holds its arguments."""
    monkeypatch.chdir(tmp_path)

    class Compiler:
        def __init__(self):
            self.calls, self.compiled, self.error = [], FakeCompiled(), None

        def __call__(self, model, options):
            self.calls.append((model, options))
            if self.error:
                raise self.error
            return self.compiled

    fake = Compiler()
    monkeypatch.setitem(vars(tvm_ondevice_train), "compile", fake)
    return fake


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "kws.tflite"
    path.write_bytes(b"model")
    return str(path)


@pytest.fixture
def runner(monkeypatch):
    """Replaces `run_project`, reports three steps; the list holds its arguments."""
    calls = []

    def run_project(directory, data, *, on_progress, say, **options):
        calls.append((directory, data, options))
        for step, loss in enumerate(RESULT["losses"], 1):
            on_progress(step, 3, loss)
        return RESULT

    monkeypatch.setattr("tvm_ondevice_train.run.run_project.run_project", run_project)
    return calls


def refused(capsys, arguments) -> str:
    """The one line on stderr of a refused command line."""
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("ondevice-train: error: ")
    assert printed.err.count("\n") == 1
    return printed.err


def test_compile_passes_every_option_on(compiler, model, capsys):
    options = "--classes 4 --scheme bias:2 --loss mse --lr 0.5 --board mps2-an386"
    budget = "--sram 128KB --flash 0.5MB --platform host --backward bfloat16 --dump-ir ir"
    budget += " --prefer speed --no-rollback --tuning t.json --prefix kws"
    budget += " --optimizer momentum --momentum 0.8 --weight-decay 1e-4"
    budget += " --lr-scale head=2 --lr-scale *.bias=0.5 --optimizer-state int8"
    assert main(["compile", model, "-o", "project", *options.split(), *budget.split()]) == 0
    expected = Options(
        classes=4,
        scheme="bias:2",
        loss=LOSSES["mse"],
        optimizer=Momentum(
            *(0.5, 1e-4, 0.8), lr_scale={"head": 2, "*.bias": 0.5}, state_dtype="int8"
        ),
        board="mps2-an386",
        sram_bytes=131072,
        flash_bytes=524288,
        backward="bfloat16",
        prefer="speed",
        rollback=False,
        tuning="t.json",
        dump_ir="ir",
        prefix="kws",
    )
    assert compiler.calls == [(model, expected)]
    assert compiler.compiled.saved == ("project", "host", None)


@pytest.mark.parametrize("transport", [None, "uart", "semihosting"])
def test_platform_and_transport_are_the_boards_own_unless_named(compiler, model, transport):
    named = ["--transport", transport] if transport else []
    assert main(["compile", model, "-o", "project", *named]) == 0
    assert compiler.compiled.saved == ("project", None, transport)


def test_compile_shows_the_memory_account_beside_the_budget(compiler, model, capsys):
    assert main(["compile", model, "-o", "out/project"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    for row in (
        "kws on mps2-an500 bytes budget used",
        "arena 100,000",
        "trainable state 20,000",
        "stack, reserved 8,192",
        "static data 2,880",
        "SRAM 131,072 262,144 50%",
        "flash 524,288 1,048,576 50%",
        "arena, lower bound 99,984 bytes",
        "arena, above its bound 16 bytes; no plan without them was found",
        "forward 2,656,768 MACs, integer",
        "backward 123,456 MACs, 50.00% integer, 50.00% float32",
        "trained by bias:2 260 values, 2 parameters",
        "head the model's own, as float32",
        "not trained k (a single number), a (b), c (d) and 1 more",
        "output logits; the softmax is left to the loss",
        "arena, for rollback 4,096 bytes",
        "batches of 4 1,048 bytes of the state, float32",
        "in plain loops 1.0% of the MACs, 1 kernel",
        "1.0% conv:qconv2d: odt_window has no dilation",
    ):
        assert row.split() in rows
    assert rows[-1][-1] == str(Path("out/project/report.json"))


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
    assert lines[-3] == "warning: the loss rose"
    assert not any("squared" in line for line in lines)


def test_run_draws_a_bar_on_a_terminal(runner, model, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert main(["run", str(tmp_path), "--data", model]) == 0
    shown = capsys.readouterr().out
    assert "training" in shown and "3/3" in shown and "loss 0.5000" in shown
    assert "step 1/3" not in shown


def test_monitor_watches_a_run(tmp_path, capsys):
    assert "is not a project" in refused(capsys, ["monitor", str(tmp_path), "--once"])
    project = fake_project(tmp_path / "project")
    assert "holds no run; start one" in refused(capsys, ["monitor", str(project), "--once"])
    with ProgressLog(project, MANIFEST, 0, 3) as log:
        log.step(1, 2.5)
    assert main(["monitor", str(project), "--once"]) == 0
    assert "fake on host, scheme full" in capsys.readouterr().out


def test_boards_lists_the_table(capsys):
    assert main(["boards"]) == 0
    shown = capsys.readouterr().out
    assert "mps2-an386" in shown and "cortex-m7" in shown and "256 KB" in shown


@pytest.mark.parametrize(
    "options, message",
    [
        ("--sram 256XB", "'256XB' is not a size in bytes"),
        ("--sram -1", "'-1' is not a size"),
        ("--sram 0", "'0' is not a size"),
        ("--flash 1.5", "'1.5' is not a size"),
        ("--sram 64MB", "sram_bytes"),
        ("--lr -0.1", "learning_rate is -0.1; it must be 0 or more, and finite"),
        ("--lr nan", "0 or more, and finite"),
        ("--lr inf", "0 or more, and finite"),
        ("--lr 1e39", "learning_rate is 1e+39; it must be 0 or more, and finite, as a float32"),
        ("--lr 1e-60", "learning_rate is 1e-60; it must be 0 or more, and finite, as a float32"),
        ("--optimizer momentum --momentum 0.99999999999", "and below 1, as a float32"),
        ("--lr fast", "'fast' is no number"),
        ("--optimizer momentum --momentum 1", "momentum is 1.0; it must be 0 or more, and below 1"),
        ("--weight-decay -1", "weight_decay is -1.0; it must be 0 or more, and finite"),
        ("--lr-scale head", "'head' is not NAME=F, such as head=2"),
        ("--lr-scale head=-1", "lr_scale is [["),
        ("--momentum 0.9", "optimizer sgd has no momentum, but learning_rate, clip_norm"),
        ("--optimizer lion", "'lion' is not one of"),
        ("--classes 1", "a classifier needs an integer from 2 to 65,536"),
        ("--classes 100000000", "a classifier needs an integer from 2 to 65,536"),
        ("--classes 2.5", "'2.5' is no integer"),
        ("--classes 4 --head int8", "head is int8, but classes make a fresh float32 head"),
        ("--head wood", "'wood' is not one of"),
        ("--loss hinge", "'hinge' is not one of"),
        ("--board tpu", "'tpu'"),
        ("--platform arduino", "'arduino' is not one of"),
        ("--unknown", "No such option"),
    ],
)
def test_a_wrong_option_of_compile_is_refused(compiler, model, capsys, options, message):
    line = refused(capsys, ["compile", model, "-o", "project", *options.split()])
    assert message in line
    assert compiler.calls == []


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


@pytest.mark.parametrize(
    "text, size_bytes",
    [("1", 1), ("256KB", 262144), ("256kib", 262144), ("1 MB", 1048576), ("1.5K", 1536)],
)
def test_sizes(compiler, model, text, size_bytes):
    assert main(["compile", model, "-o", "project", "--sram", text]) == 0
    assert compiler.calls[0][1].sram_bytes == size_bytes


def test_a_mistake_that_the_compiler_finds_is_one_line(compiler, model, capsys):
    compiler.error = OdtError("budget: needs 300 KB\nof 256 KB")
    line = refused(capsys, ["compile", model, "-o", "project"])
    assert line == "ondevice-train: error: budget: needs 300 KB\\nof 256 KB\n"
    assert compiler.compiled.saved is None


def test_a_file_that_the_system_refuses_is_named(compiler, model, capsys):
    compiler.error = PermissionError(13, "Permission denied", "project/progress.jsonl")
    line = refused(capsys, ["compile", model, "-o", "project"])
    told = "cannot use project/progress.jsonl: Permission denied"
    assert line == f"ondevice-train: error: {told}\n"


def test_a_directory_that_is_no_project_is_refused(model, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert "empty" in refused(capsys, ["run", str(tmp_path / "empty"), "--data", model])


def test_an_unknown_command_is_refused(capsys):
    assert "'teach'" in refused(capsys, ["teach"])


def test_an_interrupt_ends_with_130(compiler, model, capsys):
    compiler.error = KeyboardInterrupt()
    assert main(["compile", model, "-o", "project"]) == 130
    assert capsys.readouterr().err.strip() == "ondevice-train: interrupted"


def test_an_interrupt_that_tvm_makes_another_error_of_is_one(model, capsys, monkeypatch):
    def compile_model(*_, **__):
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        raise RuntimeError

    monkeypatch.setattr("tvm_ondevice_train.compile", compile_model)
    assert main(["compile", model, "-o", "project"]) == 130
    assert capsys.readouterr().err.strip() == "ondevice-train: interrupted"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_without_arguments_the_help_is_shown(capsys):
    assert main([]) == 0
    assert "Usage: ondevice-train" in capsys.readouterr().out


def test_the_module_exits_with_the_code_of_the_command_line():
    program = [sys.executable, "-m", "tvm_ondevice_train"]
    missing = [*program, "compile", "missing.onnx", "-o", "project"]
    done = subprocess.run(missing, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("ondevice-train: error: ") and done.stderr.count("\n") == 1
    assert "missing.onnx" in done.stderr


def test_help_waits_for_no_heavy_import():
    heavy = {"tvm", "numpy", "onnx", "rich", "jinja2"}
    program = (
        "import sys; from tvm_ondevice_train.cli import main; main(['compile', '--help']); "
        f"sys.exit(sorted({heavy!r} & set(sys.modules)) or 0)"
    )
    times = []
    for _ in range(3):
        started = time.monotonic()
        done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True)
        times.append(time.monotonic() - started)
        assert done.returncode == 0, done.stderr
    assert min(times) < 1.0


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RuntimeError("deep inside\nof TVM"), "RuntimeError: deep inside. This is a fault of"),
        (MemoryError(), "it needs more memory than this computer has free"),
        (RecursionError("x" * 999), "RecursionError: " + "x" * 200 + ". This is a fault"),
    ],
)
def test_what_nobody_foresaw_is_one_line(error, message, compiler, model, capsys):
    compiler.error = error
    assert message in refused(capsys, ["compile", model, "-o", "project"])


def test_a_traceback_is_shown_where_it_is_asked_for(compiler, model, monkeypatch):
    monkeypatch.setenv("ONDEVICE_TRAIN_TRACEBACK", "1")
    compiler.error = RuntimeError("deep inside")
    with pytest.raises(RuntimeError, match="deep inside"):
        main(["compile", model, "-o", "project"])


def test_names_give_a_terminal_no_commands(compiler, model, capsys):
    compiler.error = OdtError("tensor \x1b[2J\ud800\x07ä: no")
    assert r"tensor \x1b[2J\ud800\x07ä: no" in refused(capsys, ["compile", model, "-o", "project"])
    compiler.error = None
    hostile = {**REPORT, "model": "\x1b[2J", "scheme": "\ud800", "not_built": "\x07"}
    compiler.compiled.report = hostile
    assert main(["compile", model, "-o", "project"]) == 0
    printed = capsys.readouterr().out
    assert "?[2J on" in printed and "\x1b" not in printed and "\x07" not in printed
