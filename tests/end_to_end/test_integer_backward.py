"""Training with the backward in integer arithmetic: the same bits everywhere, and it learns."""

import numpy as np
import pytest
from shared import needs_models, slow_after
from test_devices_agree import KWS, MCUNET, VWW, assert_same_bits, initial, trained
from tiny_models import CLASSES, compiled

BOARDS = ("mps2-an500", "mps2-an386", "mps3-an547")


def compile_case(kind, scheme, classes, backward, rate=0.02):
    options = {"learning_rate": rate, "sram_bytes": 4 << 20, "backward": backward}
    return compiled(kind, scheme, classes=classes, **options)


@pytest.mark.parametrize("backward", slow_after(1, ["int16", "bfloat16", "float8"]))
def test_a_tiny_model_trains_alike_on_every_board(backward, tmp_path):
    model = compile_case("cnn_int8", "full", None, backward)
    assert "odt_dot_columns" in model.files["model.c"]
    host = trained(model, tmp_path / "host")
    for board in BOARDS:
        assert_same_bits(trained(model, tmp_path / board, board), host)


@needs_models
@pytest.mark.parametrize(
    "kind, scheme", [(VWW, "last:3"), pytest.param(MCUNET[0], "last:4", marks=pytest.mark.slow)]
)
def test_a_real_model_trains_alike_on_host_and_cortex_m7(kind, scheme, tmp_path):
    model = compile_case(kind, scheme, 10, "int16")
    host = trained(model, tmp_path / "host", steps=3)
    assert np.isfinite(host[0]).all() and np.isfinite(host[1]).all()
    assert_same_bits(trained(model, tmp_path / "device", "mps2-an500", steps=3), host)


def test_the_loss_falls_as_with_float32(tmp_path):
    losses = {}
    for backward in ("float32", "int16"):
        model = compile_case("cnn_int8", "full", CLASSES, backward, rate=0.05)
        losses[backward] = trained(model, tmp_path / backward, steps=400)[0]
    last = {backward: values[-4:].mean() for backward, values in losses.items()}
    assert last["int16"] < 0.5 * losses["int16"][:4].mean()
    assert last["int16"] < 1.5 * last["float32"] + 0.05, last


def test_the_first_step_moves_the_head_as_float32_does(tmp_path):
    """Its gradient needs no gradient of data."""
    steps = {}
    for backward in ("float32", "int16"):
        model = compile_case("cnn_int8", "full", CLASSES, backward)
        parameters = trained(model, tmp_path / backward, steps=1)[2]
        steps[backward] = {n: parameters[n] - value for n, value in initial(model).items()}
    floats = [n for n, step in steps["float32"].items() if step.dtype == np.float32]
    assert floats
    for name in floats:
        np.testing.assert_array_equal(steps["int16"][name], steps["float32"][name])


AUTO = [("cnn_int8", "int16"), pytest.param(KWS, "float32", marks=needs_models)]


@pytest.mark.parametrize("kind, chosen", AUTO)
def test_auto_is_integers_unless_they_enlarge_the_arena(kind, chosen):
    options = {"sram_bytes": 4 << 20, "flash_bytes": 4 << 20, "rollback": False}
    reports = {
        backward: compiled(kind, "full", backward=backward, **options).report
        for backward in ("float32", "int16", "auto")
    }
    smallest = min(reports["float32"]["arena_bytes"], reports["int16"]["arena_bytes"])
    assert reports["auto"]["backward"] == chosen
    assert reports["auto"]["arena_bytes"] == reports[chosen]["arena_bytes"] == smallest


def test_auto_is_integers_where_speed_is_preferred():
    report = compiled("cnn_int8", "full", backward="auto", prefer="speed").report
    assert report["backward"] == "int16"
