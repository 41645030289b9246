"""tune.json: written and read, used by `compile`, and refused in one line."""

import json
from dataclasses import replace

import pytest
import tiny
from small import BOARD, CONVOLUTION, convolution

import tvm_ondevice_train as odt
from tvm_ondevice_train.boards import board as find_board
from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.tune.tuning import Tuned, Tuning, load_tuning, target_of, tuning_for

TARGET = target_of(find_board(BOARD))


def tuned(**decisions):
    return Tuned(CONVOLUTION, decisions, 90, 100, 400, 64, 8)


def tuning(**decisions):
    return Tuning(TARGET, kernels={convolution().signature: tuned(**decisions)})


def source_of(tuning, **options):
    model = tiny.network(quantized=True)
    return odt.compile(model, scheme="full", tuning=tuning, **options).files["model.c"]


def test_a_file_gives_back_what_was_saved(tmp_path):
    path = tmp_path / "deep" / "tune.json"
    saved = tuning(rows=2, outputs=1)
    saved.save(path)
    assert load_tuning(path) == saved
    text = path.read_text()
    saved.save(path)
    assert path.read_text() == text
    assert [entry.name for entry in path.parent.iterdir()] == ["tune.json"]


def test_its_decisions_reach_the_schedule(tmp_path):
    path = tmp_path / "tune.json"
    choice = convolution().choices[0]
    other = next(value for value in choice.candidates if value != choice.default)
    tuning(**{choice.name: other}).save(path)
    assert source_of(path) != source_of("none")
    assert source_of(path) == source_of(json.loads(path.read_text()))
    assert source_of(tuning(**{choice.name: choice.default})) == source_of("none")


def test_a_kernel_that_is_not_in_the_file_keeps_its_default():
    elsewhere = Tuning(TARGET, kernels={"0" * 16: tuned(rows=2)})
    assert source_of(elsewhere) == source_of("none")


@pytest.mark.parametrize(
    "change, message",
    [
        ({"version": 0}, "has version 0; this package reads version 1"),
        ({"kernels": None}, "kernels must be of type mapping"),
        ({"kernels": {"0": {"name": "conv"}}}, "decisions must be of type dict"),
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
    with pytest.raises(OdtError, match=f"{name} of kernel {CONVOLUTION} is 1000; allowed are 1"):
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
    monkeypatch.setattr("tvm_ondevice_train.tune.tuning._DEFAULTS", tmp_path)
    assert tuning_for(None, board) == saved
    assert tuning_for(None, find_board("host")).kernels == {}
    assert tuning_for("none", board).kernels == {}
