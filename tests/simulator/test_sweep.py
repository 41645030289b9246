"""Sweeps: every run once, in processes or not, and what is made of them."""

import json
import pickle
import shutil
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace

import pytest
import tiny_files
from click.testing import CliRunner

import tvm_ondevice_train as odt
from tvm_ondevice_train.cli import cli, main
from tvm_ondevice_train.data import load_data
from tvm_ondevice_train.device import Session
from tvm_ondevice_train.device.protocol import DeviceError
from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.options import Options
from tvm_ondevice_train.project import read_report
from tvm_ondevice_train.run.options import RunOptions
from tvm_ondevice_train.simulator import sweep as sweeps
from tvm_ondevice_train.simulator import worker
from tvm_ondevice_train.simulator.sweep import RUNS, Sweep, rows_of, simulate
from tvm_ondevice_train.simulator.worker import prepare


class HerePool:
    """Instead of processes: what is submitted runs at once, in this one."""

    def __init__(self, *_count, **_context):
        self.calls = []

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        pass

    def submit(self, function, *arguments):
        future = sweeps.Future()
        self.calls.append(function.__name__)
        try:
            future.set_result(self._call(function, *arguments))
        except BrokenProcessPool as error:
            future.set_exception(error)
        return future

    def _call(self, function, *arguments):
        return function(*arguments)

    def shutdown(self, **_how):
        pass


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    root = tmp_path_factory.mktemp("sweep")
    return str(tiny_files.network(root / "net.onnx")), str(tiny_files.data(root / "data.npz"))


PREPARED = {}


def prepared_once(model, options, *others):
    """As `prepare`; these tests compile each scheme once."""
    key = str((options, others))
    PREPARED[key] = PREPARED.get(key) or prepare(model, options, *others)
    return PREPARED[key]


@pytest.fixture(autouse=True)
def _one_process(monkeypatch, tmp_path_factory):
    monkeypatch.setattr(sweeps, "ProcessPoolExecutor", HerePool)
    monkeypatch.setattr(sweeps, "prepare", prepared_once)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


def sweep(files, **changed) -> Sweep:
    asked = RunOptions(epochs=2, evaluate=True, eval_every="1e")
    known = {"schemes": ("head", "full"), "learning_rates": (0.03, 0.1), "seeds": 2}
    options = Options.of(board="host")
    return Sweep(*files, **{**known, "options": options, "run": asked, **changed})


def test_every_run_is_done_once_and_lines_that_were_cut_off_again(files, tmp_path):
    seen = []
    lines, failed = simulate(sweep(files), tmp_path, on_progress=lambda *what: seen.append(what))
    assert not failed and len(lines) == 8 and seen[-1][:2] == (8, 8)
    assert [(line["scheme"], line["learning_rate"], line["seed"]) for line in lines] == [
        (scheme, rate, seed)
        for scheme in ("head", "full")
        for rate in (0.03, 0.1)
        for seed in (0, 1)
    ]
    assert all(len(line["evaluations"]) == 3 and len(line["epochs"]) == 2 for line in lines)
    kept = (tmp_path / RUNS).read_text()
    again, _ = simulate(sweep(files), tmp_path)
    assert again == lines and (tmp_path / RUNS).read_text() == kept
    (tmp_path / RUNS).write_text(kept[:-40])
    assert simulate(sweep(files), tmp_path)[0] == lines
    assert simulate(sweep(files), tmp_path, on_progress=lambda *what: seen.append(what))[0] == lines
    assert seen[-1] == (8, 8, ""), "what was done again is a line of its own, and kept"
    fewer = sweep(files, schemes=("head",), seeds=1)
    assert simulate(fewer, tmp_path)[0] == [lines[0], lines[2]]


@pytest.mark.parametrize("damage", [b"\xff\xfe", b"[1]", b'{"run": ["a"]}', b'{"run": "%s"}'])
def test_a_line_that_is_none_is_not_there(files, damage, tmp_path):
    one = sweep(files, schemes=("head",), learning_rates=(0.1,), seeds=1)
    (key,) = map(one.key, one.wanted)
    (tmp_path / RUNS).write_bytes(damage.replace(b"%s", key.encode()))
    (line,), _ = simulate(one, tmp_path)
    *_, last = (tmp_path / RUNS).read_bytes().splitlines()
    assert json.loads(last) == line and line["run"] == key


def test_a_process_that_was_killed_is_said_in_one_line(files, tmp_path, monkeypatch):
    one = sweep(files, schemes=("head",), learning_rates=(0.1,))

    def killed(function, *arguments):
        if function is sweeps.run and arguments[2].seed == 1:
            raise BrokenProcessPool
        return function(*arguments)

    monkeypatch.setattr(HerePool, "_call", staticmethod(killed))
    with pytest.raises(OdtError, match="ended from outside"):
        simulate(one, tmp_path)


def test_a_device_error_comes_whole_out_of_another_process():
    assert str(pickle.loads(pickle.dumps(DeviceError(-5)))) == str(DeviceError(-5))


def test_what_differs_is_another_run(files, tmp_path):
    base = sweep(files)
    wanted = base.wanted[0]
    others = [
        sweep(files, options=Options.of(board="host", backward="float32")),
        sweep(files, options=Options.of(board="host", replay=5)),
        sweep(files, run=RunOptions(epochs=3, evaluate=True, eval_every="1e")),
        sweep((files[0], files[0])),
    ]
    assert len({one.key(wanted) for one in (base, *others)}) == 5
    assert sweep(files, seeds=5).key(wanted) == base.key(wanted)


def test_a_rate_is_found_once_for_each_scheme(files, tmp_path):
    lines, _ = simulate(sweep(files, schemes=("head",), learning_rates=(None,)), tmp_path)
    assert len({line["learning_rate"] for line in lines}) == 1
    assert all(line["rate_was_found"] for line in lines)


def test_a_run_with_old_samples_and_a_new_class_is_that_of_the_device(files, tmp_path):
    options = Options.of(board="host", classes=2, max_classes=4, replay=9, replay_in="flash")
    asked = {"schemes": ("full",), "learning_rates": (0.05,), "seeds": 1, "options": options}
    (line,), failed = simulate(sweep(files, **asked), tmp_path)
    project = odt.compile(files[0], replace(options, scheme="full")).save(tmp_path / "project")
    run = odt.run_project(
        project, files[1], epochs=2, evaluate=True, eval_every="1e", learning_rate=0.05
    )
    assert not failed and run["replay"]["held"] == 9
    assert all(line[key] == run[key] for key in ("evaluations", "epochs"))
    assert line["after"]["accuracy"] > 0.8


def test_rows_are_means_over_seeds(files, tmp_path):
    lines, _ = simulate(sweep(files), tmp_path)
    rows = rows_of(lines)
    assert len(rows) == 4
    right = [line["after"]["accuracy"] for line in lines[:2]]
    assert rows[0]["mean"] == pytest.approx(sum(right) / 2) and rows[0]["runs"] == 2
    assert rows[0]["std"] == pytest.approx(abs(right[0] - right[1]) / 2**0.5)
    assert rows[0]["peak_sram_bytes"] < rows[-1]["peak_sram_bytes"]
    assert rows[-1]["mean"] > 0.8


def test_a_run_tells_what_its_board_takes(files, tmp_path, monkeypatch):
    """As its own program does, which is built once however often a sweep is resumed."""
    options = Options.of(board="mps2-an500", classes=2, max_classes=3, batch=2)
    asked = {"schemes": ("head",), "learning_rates": (0.1,), "seeds": 1, "options": options}
    (line,), failed = simulate(sweep(files, **asked), tmp_path)
    project = odt.compile(files[0], options).save(tmp_path / "project")
    with Session(project) as device:
        device.add_class()
        device.set_batch(1)
        data = load_data(files[1], device.manifest)
        device.train_encoded(data.x[0], data.y[0])
    account, report = line["account"], read_report(project)
    assert not failed and account["not_emulated"] is None and account["flash_holds_code"]
    assert account["flash_bytes"] == report["flash_bytes"]
    assert account["instructions_per_step"] == device.counts["train"][1]
    assert account["instructions_per_step"] > account["instructions_forward"] > 0
    PREPARED.clear()
    monkeypatch.setattr(worker, "board_account", None)
    more = simulate(sweep(files, **{**asked, "seeds": 2}), tmp_path)[0]
    assert [one["account"] for one in more] == [account] * 2


@pytest.mark.parametrize(
    "board, why",
    [
        ("nrf52840dk", "no bare-metal program for nrf52840dk is emulated"),
        ("mps2-an386", "toolchain: arm-none-eabi-gcc not found; install it: apt install"),
    ],
)
def test_without_an_emulator_or_tools_there_is_an_account(board, why, files, tmp_path, monkeypatch):
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if "arm" in name else which(name))
    model, data = files
    words = f"simulate {model} --data {data} --lr 0.1 --epochs 1 --board {board} -o {tmp_path}"
    found = CliRunner().invoke(cli, words.split())
    assert "MACs a step" in found.output
    assert f"MACs, since instructions cannot be counted: {why}" in found.output
    (row,) = json.loads(CliRunner().invoke(cli, [*words.split(), "--json"]).output)["rows"]
    assert row["instructions_per_step"] is None and not row["flash_holds_code"]


def test_a_scheme_that_cannot_be_is_left_out(files, tmp_path):
    lines, failed = simulate(sweep(files, schemes=("head", "last:0")), tmp_path)
    assert {line["scheme"] for line in lines} == {"head"} and "last:0" in failed["last:0"]


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"seeds": 0}, "simulate: seeds is 0; it must be at least 1"),
        ({"schemes": ("head", "head")}, "give each once"),
        ({"learning_rates": ()}, "one at least"),
        ({"learning_rates": (0.1, float("nan"))}, "learning_rate is NaN"),
        ({"learning_rates": (1e39,)}, "finite, as a float32"),
        ({"learning_rates": (0.0,)}, "learning_rate is 0; it must be above 0"),
    ],
)
def test_nothing_to_do_is_refused(files, changed, message):
    with pytest.raises(OdtError, match=message):
        sweep(files, **changed)


def test_the_command(files, tmp_path):
    pytest.importorskip("matplotlib")
    model, data = files
    words = f"simulate {model} --data {data} --scheme head full --lr 0.1 --epochs 2 --board host"
    words = f"{words} -o {tmp_path / 'out'} --class-names a,b,c"  # of the data
    found = CliRunner().invoke(cli, words.split())
    assert found.exit_code == 0 and "full" in found.output and "accuracy" in found.output
    assert "instructions cannot be counted: no bare-metal program for host" in found.output
    assert (tmp_path / "out/curves.png").read_bytes()[:4] == b"\x89PNG"
    found = CliRunner().invoke(cli, [*words.split(), "--json"])
    assert [row["scheme"] for row in json.loads(found.output)["rows"]] == ["head", "full"]


def test_the_command_refuses_in_one_line(files, tmp_path, capsys):
    model, data = files
    words = f"simulate {model} --data {data} --lr 0.1 -o {tmp_path} --scheme last:0"
    assert main(words.split()) == 2
    assert capsys.readouterr().err.count("\n") == 1
