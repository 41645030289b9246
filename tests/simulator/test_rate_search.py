"""The rate that short runs find, where there is something to learn and where there is not."""

import math

import numpy as np
import pytest
import tiny_files

import tvm_ondevice_train as odt
from tvm_ondevice_train.data import Data, load_data
from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.learning.plan import Plan
from tvm_ondevice_train.learning.schedule import COSINE, Schedule
from tvm_ondevice_train.learning.training import Training
from tvm_ondevice_train.simulator import Simulation, host_model, search_rate


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    root = tmp_path_factory.mktemp("rates")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(root / "cache"))
        compiled = odt.compile(tiny_files.network(root / "net.onnx"), scheme="full", board="host")
        found = host_model(compiled)
    return found, load_data(tiny_files.data(root / "data.npz"), found.manifest)


def accuracy(model, data, rate, steps):
    run = Training(Simulation(model), data, Plan(Schedule(COSINE, steps), rate))
    run.run()
    return 0.0 if run.stopped else run.evaluate("test")["accuracy"]


def test_the_rate_is_as_good_as_the_best_of_a_grid(model):
    model, data = model
    steps = 2 * len(data.x)
    search = search_rate(model, data, Schedule(COSINE, steps))
    assert search.steps == steps and search.learning_rate == float(
        f"{search.best.learning_rate:.1e}"
    )
    rates = [trial.learning_rate for trial in search.trials]
    assert rates == sorted(rates) and len(rates) >= 5
    best = max(accuracy(model, data, 4.0**-n, steps) for n in range(6))
    assert accuracy(model, data, search.learning_rate, steps) >= best - 0.02
    assert search == search_rate(model, data, Schedule(COSINE, steps))


def test_a_longer_run_gets_a_lower_rate(model):
    model, data = model
    short, long = (search_rate(model, data, Schedule(COSINE, n, n // 20)) for n in (4000, 64000))
    assert long.steps == short.steps == 4000
    assert long.learning_rate < short.learning_rate


def test_held_out_samples_are_those_of_validation(model):
    model, data = model
    held = Data(data.x, data.y, x_val=data.x[:50], y_val=(data.y[:50] + 1) % 3)  # all wrong
    search = search_rate(model, held, Schedule(COSINE, 600))
    assert search.best.loss > 1


def test_what_diverges_everywhere_is_refused(model):
    model, data = model
    huge = Data(np.full_like(data.x, 1e30), data.y)
    with pytest.raises(OdtError, match="no run has a finite loss, at rates from"):
        search_rate(model, huge, Schedule(COSINE, 300))


def test_a_rate_far_below_the_first_one_is_found(model):
    model, data = model
    large = Data(data.x * 300, data.y)
    search = search_rate(model, large, Schedule(COSINE, 600))
    assert search.best.learning_rate < 1e-3 and math.isfinite(search.best.loss)


def test_too_few_samples_are_refused(model):
    model, data = model
    with pytest.raises(OdtError, match="for validation leaves no other set"):
        search_rate(model, Data(data.x[:1], data.y[:1]), Schedule(COSINE, 300))


def test_old_samples_and_new_classes_are_in_the_short_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tiny_files.network(tmp_path / "net.onnx")
    options = {"classes": 2, "max_classes": 4, "replay": 8, "scheme": "full", "board": "host"}
    found = host_model(odt.compile(path, **options).save(tmp_path / "project"))
    data = load_data(tiny_files.data(tmp_path / "data.npz"), found.manifest)
    plain, replayed = (search_rate(found, data, Schedule(COSINE, 300), 0, n) for n in (0, 2))
    assert plain.best.accuracy > 0.8 and replayed.best.accuracy > 0.8
    assert plain.trials != replayed.trials
