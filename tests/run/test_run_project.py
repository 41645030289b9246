import json

import numpy as np
import pytest
from fake_project import CLASSES, INPUTS, edited, fake_project, samples

from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.run.run_project import run_project

STEADY = {"schedule": "constant"}


def save(path, **arrays):
    np.savez(path, **arrays)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    (x, y), (x_test, y_test) = samples(200), samples(50, seed=1)
    path = tmp_path_factory.mktemp("data") / "data.npz"
    return save(path, x=x, y=y, x_test=x_test, y_test=y_test)


def test_a_run_on_a_board_reports_everything(data, tmp_path):
    directory = fake_project(tmp_path / "project", "mps2-an500")
    seen = []
    result = run_project(
        directory,
        data,
        evaluate=True,
        learning_rate=0.1,
        on_progress=lambda *progress: seen.append(progress),
    )
    assert json.loads((directory / "run.json").read_text()) == result
    assert len(result["losses"]) == 200
    assert seen[-1] == (200, 200, result["losses"][-1])
    assert result["accuracy_before"] < 0.4 < 0.95 < result["accuracy_after"]
    assert 4096 + 2616 < result["peak_sram_bytes"] < 4096 + 2616 + 1500
    assert result["stack_bytes"] <= result["stack_bound_bytes"]
    assert result["stack_bound_bytes"] < result["stack_reserved_bytes"] == 8192
    assert result["instructions_per_step"] > result["instructions_forward"] > INPUTS * CLASSES
    assert 2000 < result["flash_bytes"] < 12000
    assert result["wall_seconds"] > 0


def test_a_host_run_has_the_same_losses_and_no_costs(data, tmp_path):
    host = run_project(fake_project(tmp_path / "host"), data, steps=20, seed=3)
    board = run_project(fake_project(tmp_path / "board", "mps2-an386"), data, steps=20, seed=3)
    assert host["losses"] == board["losses"]
    assert host["accuracy_before"] is host["accuracy_after"] is None
    for key in ("peak_sram_bytes", "stack_bytes", "instructions_per_step", "flash_bytes"):
        assert host[key] is None


def test_the_seed_sets_the_order_and_epochs_the_length(data, tmp_path):
    directory = fake_project(tmp_path / "project")
    first = run_project(directory, data, epochs=2, seed=1)["losses"]
    assert len(first) == 400
    assert first == run_project(directory, data, epochs=2, seed=1)["losses"]
    assert first != run_project(directory, data, epochs=2, seed=2)["losses"]


@pytest.mark.parametrize("board", ["host", "mps2-an500"])
def test_a_run_that_was_saved_goes_on_as_if_it_had_not_ended(board, data, tmp_path):
    whole = run_project(fake_project(tmp_path / "whole", board), data, steps=250, seed=5, **STEADY)
    directory = fake_project(tmp_path / "project", board)
    first = run_project(directory, data, steps=90, seed=5, save=True, **STEADY)
    second = run_project(directory, data, steps=160, seed=5, resume=True, **STEADY)
    assert (first["first_step"], second["first_step"]) == (0, 90)
    assert first["losses"] + second["losses"] == whole["losses"]
    learned = [(tmp_path / name / "learned.npz").read_bytes() for name in ("whole", "project")]
    assert learned[0] == learned[1]


class PowerFailure(Exception):
    pass


def test_the_schedule_of_a_run_that_lost_its_device_goes_on(data, tmp_path):
    whole = run_project(fake_project(tmp_path / "whole"), data, steps=250, learning_rate=0.1)
    directory = fake_project(tmp_path / "project")

    def fail(step, _steps, _loss):
        if step == 95:
            raise PowerFailure

    with pytest.raises(PowerFailure):
        run_project(directory, data, steps=250, learning_rate=0.1, save_every=30, on_progress=fail)
    rest = run_project(directory, data, steps=160, resume=True)
    assert rest["first_step"] == 90 and rest["plan"]["learning_rate"] == np.float32(0.1)
    assert rest["losses"] == whole["losses"][90:]
    assert rest["learning_rates"] == whole["learning_rates"][90:]


def test_a_run_that_dies_costs_what_came_after_the_last_save(data, tmp_path):
    files = edited(model_c=("    odt->steps++;", "    if (odt->steps++ == 37) return -4;"))
    whole = run_project(fake_project(tmp_path / "whole"), data, steps=37, **STEADY)["losses"]
    directory = fake_project(tmp_path / "project", files=files)
    with pytest.raises(OdtError, match="step 38 of 60"):
        run_project(directory, data, steps=60, save_every=10, **STEADY)
    resumed = run_project(directory, data, steps=7, resume=True, **STEADY)
    assert resumed["first_step"] == 30
    assert resumed["losses"] == whole[30:]


def test_what_was_never_saved_cannot_be_resumed(data, tmp_path):
    with pytest.raises(OdtError, match="nothing was ever saved here"):
        run_project(fake_project(tmp_path / "project"), data, resume=True)


def test_accuracy_is_measured_in_between(data, tmp_path):
    result = run_project(
        fake_project(tmp_path / "project"), data, evaluate=True, eval_every=80, learning_rate=0.1
    )
    found = result["evaluations"]
    assert [entry["step"] for entry in found] == [0, 80, 160, 200]
    assert found[0]["accuracy"] == result["accuracy_before"]
    assert found[-1]["accuracy"] == result["accuracy_after"]
    assert found[0]["loss"] == pytest.approx(np.log(CLASSES), rel=1e-3)
    assert found[0]["loss"] > found[1]["loss"] > found[-1]["loss"]


def test_a_step_that_fails_says_which(tmp_path):
    files = edited(model_c=("    odt->steps++;", "    if (odt->steps++ == 4) return -4;"))
    x, y = samples(10)
    path = save(tmp_path / "data.npz", x=x, y=y)
    with pytest.raises(OdtError, match=r"^run: step 5 of 10, sample .*not finite"):
        run_project(fake_project(tmp_path / "project", files=files), path)


def failing(code, condition="odt->steps == 4"):
    """The fake model, whose step changes nothing and fails where C's `condition` holds."""
    before = "    if (status != ODT_OK) return status;\n"
    return edited(model_c=(before, f"{before}    if ({condition}) return {code};\n"))


@pytest.mark.parametrize("code", [-6, -4])
def test_a_run_that_stops_keeps_what_it_has(code, data, tmp_path):
    whole = run_project(fake_project(tmp_path / "whole"), data, steps=4, **STEADY)
    directory = fake_project(tmp_path / "project", files=failing(code))
    with pytest.raises(OdtError, match=r"^run: step 5 of 60, .*learned\.npz of the steps before"):
        run_project(directory, data, steps=60, evaluate=True, **STEADY)
    kept = json.loads((directory / "run.json").read_text())
    assert (kept["losses"], kept["steps"], kept["diverged"]) == (whole["losses"], 4, [])
    assert kept["stopped"].startswith("step 5 of 60, sample ")
    assert [entry["step"] for entry in kept["evaluations"]] == [0, 4]
    learned = [(tmp_path / name / "learned.npz").read_bytes() for name in ("whole", "project")]
    assert learned[0] == learned[1]
    log = (directory / "progress.jsonl").read_text().splitlines()
    assert json.loads(log[-1]) == {"end": kept["stopped"]}


def test_a_step_that_diverges_is_skipped(data, tmp_path):
    files = failing(-6, "*target == 3")
    directory = fake_project(tmp_path / "project", files=files)
    result = run_project(directory, data, steps=60, on_divergence="skip", evaluate=True)
    assert result["steps"] == 60 and result["stopped"] is None
    assert 0 < len(result["diverged"]) == 60 - len(result["losses"])
    assert [entry["step"] for entry in result["evaluations"]] == [0, 60]
    events = map(json.loads, (directory / "progress.jsonl").read_text().splitlines())
    assert [e["step"] for e in events if "diverged" in e] == result["diverged"]


def test_a_step_that_diverges_lowers_the_rate(data, tmp_path):
    files = failing(-6, "odt->learning_rate > 0.3f")
    directory = fake_project(tmp_path / "project", files=files)
    result = run_project(
        directory, data, steps=20, on_divergence="lower", learning_rate=1.0, **STEADY
    )
    assert result["diverged"] == [1, 2] and len(result["losses"]) == 18
    quarter = run_project(fake_project(tmp_path / "quarter"), data, steps=20, learning_rate=0.25)
    assert quarter["losses"][2] != result["losses"][0]  # which skipped two samples
    with pytest.raises(OdtError, match="on_divergence is 'x'; allowed are stop, skip, lower"):
        run_project(directory, data, steps=20, on_divergence="x")


def test_an_evaluation_counts_predictions_that_are_not_finite(data, tmp_path):
    at = "    float gradient[ODT_OUTPUT_ELEMENTS];\n    return forward"
    files = edited(model_c=(at, f"    if (*target == 3) return -6;\n{at}"))
    directory = fake_project(tmp_path / "project", files=files)
    result = run_project(directory, data, evaluate=True, learning_rate=0.1)
    lost = int(np.sum(np.load(data)["y_test"] == 3))
    (_, after) = result["evaluations"]
    assert after["not_finite"] == lost > 0 and np.isfinite(after["loss"])
    assert 0.95 * (1 - lost / 50) < result["accuracy_after"] <= 1 - lost / 50
    assert result["warnings"] == [f"{lost} samples of the last evaluation had no finite prediction"]


def test_a_run_that_moves_nothing_says_so(data, tmp_path):
    result = run_project(fake_project(tmp_path / "project"), data, steps=30, learning_rate=0.0)
    assert result["warnings"][-1].startswith("no trained value changed in the last 30 steps")
    assert result["saturation"] == {}


@pytest.mark.parametrize(
    "length",
    [
        {"steps": 0},
        {"epochs": -1},
        {"steps": 1, "epochs": 1},
        {"eval_every": 0},
        {"save_every": -1},
        {"steps": 1 << 32},
        {"epochs": 10**12},
    ],
)
def test_a_length_without_meaning_is_refused(length, data, tmp_path):
    with pytest.raises(OdtError, match=r"^run: "):
        run_project(fake_project(tmp_path / "project"), data, **length)
