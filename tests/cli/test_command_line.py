"""The command line: help, and one line for every mistake."""

import resource
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from fake_commands import REPORT, refused

from tvm_ondevice_train.cli import main
from tvm_ondevice_train.errors import OdtError

ROOT = Path(__file__).resolve().parents[2]


def test_boards_lists_the_table(capsys):
    assert main(["boards"]) == 0
    shown = capsys.readouterr().out
    assert "mps2-an386" in shown and "cortex-m7" in shown and "256 KB" in shown


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


def children_seconds() -> float:
    """CPU time of the processes that ended: however busy the machine is."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_help_waits_for_no_heavy_import():
    heavy = {"tvm", "numpy", "onnx", "rich", "jinja2"}
    program = (
        "import sys; from tvm_ondevice_train.cli import main; main(['compile', '--help']); "
        f"sys.exit(sorted({heavy!r} & set(sys.modules)) or 0)"
    )
    times = []
    for _ in range(3):
        started = children_seconds()
        done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True)
        times.append(children_seconds() - started)
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
