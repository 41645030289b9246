"""`ondevice-train tune`: what it passes on, what it shows, one line for every mistake."""

from dataclasses import replace

import pytest
from tiny_models import export_int8

from tvm_ondevice_train.boards import board as find_board
from tvm_ondevice_train.cli import main
from tvm_ondevice_train.cli.tune_and_show import _runner
from tvm_ondevice_train.manifest import read_manifest, to_json
from tvm_ondevice_train.tune import tuner
from tvm_ondevice_train.tune.remote import RemoteRunner
from tvm_ondevice_train.tune.runners import BoardRunner, EmulatorRunner, HostRunner
from tvm_ondevice_train.tune.tuner import TunedKernel, TuningResult
from tvm_ondevice_train.tuning import Tuning, target_of


@pytest.fixture
def tunings(monkeypatch):
    """Replaces `tune`; holds its arguments."""
    calls = []
    kernels = (TunedKernel("a:qconv2d", 2, 1, 1000, 800), TunedKernel("b:add", 1, 0, 500, 500))

    def tune(**options):
        calls.append(options)
        options["on_progress"](4, 8, "a:qconv2d")
        return TuningResult(Tuning(target_of(find_board("mps2-an500"))), kernels)

    monkeypatch.setattr(tuner, "tune", tune)
    return calls


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return export_int8(tmp_path_factory.mktemp("model"))


def error_of(arguments, capsys) -> str:
    assert main(["tune", *map(str, arguments)]) == 2
    text = capsys.readouterr().err
    assert text.count("\n") == 1 and text.startswith("ondevice-train: error: ")
    return text


def test_options_are_passed_on_and_the_table_adds_up(tunings, tmp_path, capsys):
    model = tmp_path / "m.onnx"
    model.touch()
    words = "--classes 4 --scheme bias:2 --trials 5 --seed 3 --jobs 2 --sram 1MB -o out.json"
    assert main(["tune", str(model), *words.split()]) == 0
    (options,) = tunings
    assert options["model"] == str(model) and options["classes"] == 4
    assert (options["trials"], options["seed"], options["jobs"]) == (5, 3, 2)
    assert options["sram_bytes"] == 1 << 20 and options["output"] == "out.json"
    assert isinstance(options["runner"], EmulatorRunner)
    command = options["made_by"]
    assert command.startswith("ondevice-train tune m.onnx --classes 4")
    assert str(tmp_path) not in command
    shown = capsys.readouterr().out
    assert "candidate 4/8  a:qconv2d" in shown
    assert "2,500" in shown and "2,100" in shown and "16.0%" in shown  # 2 * 1000 + 500


def test_a_project_is_tuned_with_the_options_that_made_it(tunings, model, tmp_path, capsys):
    project = tmp_path / "project"
    options = ["--scheme", "bias:1", "--classes", "3", "--board", "mps3-an547"]
    assert main(["compile", str(model), "-o", str(project), *options]) == 0
    assert main(["tune", str(project)]) == 0
    (found,) = tunings
    expected = {"model": str(model), "scheme": "bias:1", "classes": 3, "board": "mps3-an547"}
    assert expected.items() <= found.items()
    manifest = read_manifest(project)
    elsewhere = replace(manifest.made_from, model=str(tmp_path / "gone.onnx"))
    for made_from in (elsewhere, None):  # None: from values, not from files alone
        changed = replace(manifest, made_from=made_from)
        (project / "manifest.json").write_text(to_json(changed))
        assert "is not there; give the model file itself" in error_of([project], capsys)


def test_a_tuning_file_of_another_core_is_refused_by_compile(model, tmp_path, capsys):
    Tuning(target_of(find_board("mps3-an547"))).save(tmp_path / "tune.json")
    arguments = ["compile", model, "-o", tmp_path / "p", "--tuning", tmp_path / "tune.json"]
    assert main(list(map(str, arguments))) == 2
    assert "is for cortex-m55" in capsys.readouterr().err
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize(
    "options, message",
    [
        (["--runner", "host"], "runner host cannot run programs for board mps2-an500"),
        (["--runner", "board"], "needs --port and --flasher"),
        (["--tracker", "localhost"], "must be HOST:PORT:KEY"),
        (["--trials", "0"], "--trials"),
    ],
)
def test_mistakes_are_said_in_one_line(options, message, tmp_path, capsys):
    model = tmp_path / "m.onnx"
    model.touch()
    assert message in error_of([model, *options], capsys)


def test_runners_by_name():
    assert isinstance(_runner(None, "host", (None, None), None), HostRunner)
    assert isinstance(_runner(None, "mps2-an386", (None, None), None), EmulatorRunner)
    assert isinstance(_runner("board", "mps2-an386", ("tty", "flash {}"), None), BoardRunner)
    remote = _runner("host", "host", (None, None), "lab:9190:key")
    assert isinstance(remote, RemoteRunner) and remote.unit == "ns"
