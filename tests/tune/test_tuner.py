"""Tuning a model: never worse, repeatable, resumed, and of no effect on a result."""

import json
from dataclasses import replace
from functools import cache

import pytest
import tiny
from small_kernels import BOARD, CONVOLUTION
from small_kernels import OPTIONS as COMPILED

import tvm_ondevice_train as odt
from tvm_ondevice_train.boards import board as find_board
from tvm_ondevice_train.codegen.c_printer import CKernel
from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.tune import tuner
from tvm_ondevice_train.tune.runners import EmulatorRunner, Measured
from tvm_ondevice_train.tune.tasks import Recorder
from tvm_ondevice_train.tune.tuner import tune
from tvm_ondevice_train.tuning import load_tuning, target_of

OPTIONS = {**COMPILED, "board": BOARD}


class Counting(EmulatorRunner):
    """As the emulator, but it invents costs, so that it takes no time; and it counts."""

    def __init__(self):
        super().__init__()
        self.candidates = 0

    def measure(self, batch, flash_growth=None):
        self.candidates += batch.count - 1
        parts = batch.model_c.split("void candidate_")[1:]
        return [Measured(len(part), 100) for part in parts]


@cache
def compiled(board):
    """The network as every test here has it, and what its schedules asked."""
    recorder = Recorder(target_of(find_board(board)))
    model = tiny.network(quantized=True)
    return odt.compile(model, **{**OPTIONS, "board": board}, tuning=recorder), recorder


@pytest.fixture(autouse=True)
def compile_once(monkeypatch):
    def compile(_model, *, board, tuning, **_options):
        tuning.asked.extend(compiled(board)[1].asked)
        return compiled(board)[0]

    monkeypatch.setattr(tuner, "compile_model", compile)


def is_convolution(task):
    return task.name == CONVOLUTION


def all_kernels(_task):
    return True


def tuned(runner=None, **options):
    """Those of its convolution, in a training step and in a prediction, unless `only` says more."""
    options = {"trials": 6, "runner": runner or Counting(), "only": is_convolution, **options}
    return tune(tiny.network(quantized=True), **{**OPTIONS, **options})


def untuned():
    """The report of the network with its default schedules."""
    return compiled(OPTIONS["board"])[0].report


def test_tuned_kernels_are_never_slower_and_compile_to_what_was_measured(tmp_path):
    path = tmp_path / "tune.json"
    result = tuned(EmulatorRunner(), output=path, trials=4)
    assert {kernel.name for kernel in result.kernels} == {CONVOLUTION}
    assert all(0 < kernel.cost <= kernel.default_cost for kernel in result.kernels)
    assert result.step("cost") <= result.step("default_cost")
    assert load_tuning(path) == result.tuning
    assert result.tuning.step == {
        cost: sum(kernel.train_calls * getattr(kernel, cost) for kernel in result.kernels)
        for cost in ("default_cost", "cost")
    }
    report = odt.compile(tiny.network(quantized=True), tuning=path, **OPTIONS).report
    assert report["arena_bytes"] == untuned()["arena_bytes"]


def test_the_same_seed_gives_the_same_file(tmp_path):
    first, second = tmp_path / "1.json", tmp_path / "2.json"
    for path in (first, second):
        tuned(output=path, seed=5)
    assert first.read_bytes() == second.read_bytes()
    assert json.loads(first.read_text())["seed"] == 5


def test_what_is_in_the_file_is_not_searched_again(tmp_path):
    path, runner = tmp_path / "tune.json", Counting()
    whole = tuned(runner, output=path)
    searched = runner.candidates
    assert searched > 0
    assert tuned(runner, output=path).kernels == whole.kernels
    assert runner.candidates == searched
    tuned(runner, output=path, trials=7)
    assert runner.candidates > searched


def test_an_interrupted_search_keeps_what_it_found(tmp_path):
    path = tmp_path / "tune.json"

    class Interrupted(Counting):
        def measure(self, batch, flash_growth=None):
            if self.candidates > 6:
                raise OdtError("device: gone")
            return super().measure(batch, flash_growth)

    with pytest.raises(OdtError, match="gone"):
        tuned(Interrupted(), output=path, only=all_kernels)
    found = load_tuning(path)
    assert found.kernels and found.step is None
    whole = tuned(output=path, only=all_kernels)
    assert set(found.kernels) < set(whole.tuning.kernels)


def test_decisions_that_no_schedule_allows_are_searched_again(tmp_path):
    path, runner = tmp_path / "tune.json", Counting()
    whole = tuned(runner, output=path)
    searched = runner.candidates
    kernels = whole.tuning.kernels.items()
    stale = {key: replace(one, decisions={"rows": 1000}, cost=1) for key, one in kernels}
    replace(whole.tuning, kernels=stale).save(path)
    again = tuned(runner, output=path)
    assert runner.candidates == 2 * searched
    assert again == whole


def test_costs_of_another_unit_or_core_do_not_mix(tmp_path):
    path = tmp_path / "tune.json"
    tuned(output=path)
    with pytest.raises(OdtError, match="has the target"):
        tuned(output=path, board="mps3-an547")
    other = Counting()
    other.unit = "ns"
    with pytest.raises(OdtError, match="has the unit guest instructions, not ns"):
        tuned(other, output=path)


def test_a_wrong_or_too_large_candidate_is_never_recorded():
    class Faulty(Counting):
        def measure(self, batch, flash_growth=None):
            first, *others = super().measure(batch, flash_growth)
            return [first, *(Measured(error="wrong") for _ in others)]

    result = tuned(Faulty())
    assert all(kernel.cost == kernel.default_cost for kernel in result.kernels)


def test_scratch_that_would_enlarge_the_arena_is_refused():
    scratch = []
    tuned(only=lambda task: scratch.append((task.default, task.scratch_bytes)) or False)
    assert scratch and all(isinstance(kernel, CKernel) for kernel, _ in scratch)
    assert all(kernel.workspace_bytes <= limit for kernel, limit in scratch)
    model = tiny.network(quantized=True)
    report = odt.compile(model, tuning=tuned(only=all_kernels).tuning, **OPTIONS).report
    assert report["arena_bytes"] <= untuned()["arena_bytes"]
