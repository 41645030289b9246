"""tune.json: written and read, used by `compile`, and refused in one line."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
from shared import shared_path
from small_kernels import BOARD, CONVOLUTION, OPTIONS, convolution, tasks

import tvm_ondevice_train as odt
from tvm_ondevice_train.boards import board as find_board
from tvm_ondevice_train.boards import boards
from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.tune.tasks import Recorder, tasks_of
from tvm_ondevice_train.tuning import (
    Tuned,
    Tuning,
    default_tunings,
    load_tuning,
    target_of,
    tuning_for,
)
from tvm_ondevice_train.tuning.signature import signature

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
TARGET = target_of(find_board(BOARD))


def tuned(**decisions):
    return Tuned(CONVOLUTION, decisions, 90, 100, 400, 64, 8)


def tuning(**decisions):
    return Tuning(TARGET, kernels={convolution().signature: tuned(**decisions)})


def source_of(tuning):
    model = tiny.network(quantized=True)
    return odt.compile(model, **OPTIONS, tuning=tuning).files["model.c"]


@pytest.fixture(scope="module")
def untuned():
    return source_of("none")


def test_a_file_gives_back_what_was_saved(tmp_path):
    path = tmp_path / "deep" / "tune.json"
    saved = replace(tuning(rows=2, outputs=1), step={"default_cost": 300, "cost": 240})
    saved.save(path)
    assert load_tuning(path) == saved
    text = path.read_text()
    saved.save(path)
    assert path.read_text() == text
    assert [entry.name for entry in path.parent.iterdir()] == ["tune.json"]


def test_its_decisions_reach_the_schedule(untuned, tmp_path):
    path = tmp_path / "tune.json"
    choice = convolution().choices[0]
    other = next(value for value in choice.candidates if value != choice.default)
    tuning(**{choice.name: other}).save(path)
    assert source_of(path) != untuned
    assert source_of(path) == source_of(json.loads(path.read_text()))
    assert source_of(tuning(**{choice.name: choice.default})) == untuned


def test_a_kernel_that_is_not_in_the_file_keeps_its_default(untuned):
    elsewhere = Tuning(TARGET, kernels={"0" * 16: tuned(rows=2)})
    assert source_of(elsewhere) == untuned


@pytest.mark.parametrize(
    "change, message",
    [
        ({"version": 0}, "has version 0; this package reads version 1"),
        ({"kernels": None}, "kernels must be of type mapping"),
        ({"kernels": {"0": {"name": "conv"}}}, "decisions must be of type dict"),
        ({"step": {"cost": 240}}, "step: default_cost must be of type int"),
        ({"target": {"cpu": "cortex-m0", "flags": ["-mthumb"]}}, "is for cortex-m0 -mthumb"),
    ],
)
def test_a_file_that_is_none_or_another_is_refused(change, message, tmp_path):
    path = tmp_path / "tune.json"
    tuning().save(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(OdtError, match=message) as caught:
        tuning_for(path, find_board(BOARD))
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_or_unreadable_file_is_refused(tmp_path):
    with pytest.raises(OdtError, match="does not exist"):
        load_tuning(tmp_path / "none.json")
    (tmp_path / "text.json").write_text("no json")
    with pytest.raises(OdtError, match="cannot read"):
        load_tuning(tmp_path / "text.json")
    with pytest.raises(OdtError, match="is not what `ondevice-train tune` writes"):
        tuning_for({"rows": 4}, find_board(BOARD))


def test_a_decision_that_is_no_candidate_is_refused():
    name = convolution().choices[0].name
    with pytest.raises(OdtError, match=f"{name} of kernel {CONVOLUTION} is 1000; allowed are "):
        source_of(tuning(**{name: 1000}))


def test_another_board_of_the_same_core_may_use_it_another_core_may_not():
    found = tuning()
    assert tuning_for(found, find_board(BOARD)) is found
    with pytest.raises(OdtError, match="mps3-an547 is cortex-m55"):
        tuning_for(found, find_board("mps3-an547"))


def test_the_default_for_a_cpu_is_used_where_there_is_one(tmp_path, monkeypatch):
    board = find_board(BOARD)
    saved = replace(tuning(rows=1), made_by="a test")
    saved.save(tmp_path / f"{board.cpu}.json")
    monkeypatch.setattr("tvm_ondevice_train.tuning.tuning._DEFAULTS", tmp_path)
    assert tuning_for(None, board) == saved
    assert tuning_for(None, find_board("host")).kernels == {}
    other = replace(board, core=replace(board.core, cflags=("-mcpu=cortex-m7",)))
    assert tuning_for(None, other).kernels == {}
    assert tuning_for("none", board).kernels == {}


def test_a_default_that_no_schedule_allows_any_more_is_left_out(untuned, tmp_path, monkeypatch):
    path = tmp_path / f"{find_board(BOARD).cpu}.json"
    tuning(**{convolution().choices[0].name: 1000}).save(path)
    monkeypatch.setattr("tvm_ondevice_train.tuning.tuning._DEFAULTS", tmp_path)
    assert source_of(None) == untuned
    with pytest.raises(OdtError, match="Tune again with this version"):
        source_of(path)


def mcunet_tasks(board):
    recorder = Recorder(target_of(board))
    scheme = BENCHMARKS / "schemes" / "mcunet-5fps-49kb.json"
    model = shared_path("models/mcunet_int8/mcunet-5fps.onnx")
    compiled = odt.compile(model, classes=10, scheme=scheme, board=board.name, tuning=recorder)
    return tasks_of(compiled, recorder)


ONE_A_KIND = ("cortex-m7",)  # the one of the figures


@pytest.mark.parametrize(
    "cpu",
    [
        pytest.param(cpu, marks=() if cpu in ONE_A_KIND else pytest.mark.slow)
        for cpu in default_tunings()
    ],
)
def test_the_defaults_of_the_package_are_of_this_version(cpu):
    found = load_tuning(default_tunings()[cpu])
    board = next((board for board in boards() if target_of(board) == dict(found.target)), None)
    assert board is not None, "tune again: no board has these flags any more"
    kernels = {task.signature: task for task in (*tasks(board.name), *mcunet_tasks(board))}
    known = {key: task for key, task in kernels.items() if key in found.kernels}
    stale = [t.name for key, t in known.items() if not t.allows(found.kernels[key].decisions)]
    assert not stale, f"tune again: schedules do not ask for these any more: {stale}"
    assert 2 * len(known) > len(kernels), "tune again: the kernels of MCUNet are others"


def test_the_defaults_know_every_kernel_that_they_were_made_for():
    """Renaming a function of the runtime, say, would make each kernel that calls it another one."""
    found = load_tuning(default_tunings()["cortex-m7"])
    recorder = Recorder(TARGET)
    odt.compile(
        shared_path("models/mcunet_int8/mcunet-5fps-c17.onnx"),
        classes=10,
        scheme=BENCHMARKS / "schemes" / "mcunet-5fps-49kb.json",
        backward="int16",
        board=BOARD,
        sram_bytes=4 << 20,
        tuning=recorder,
    )
    asked = {signature(function, limit) for function, limit, _ in recorder.asked}
    assert found.kernels.keys() <= asked
