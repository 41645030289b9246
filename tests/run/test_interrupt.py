"""Ctrl-C ends a run behind a step, and keeps what was learned."""

import json
import signal

import int8_heads
import numpy as np
import pytest

import tvm_ondevice_train as odt
from tvm_ondevice_train.run.interrupt import held_back


def test_a_run_keeps_the_steps_that_it_did(tmp_path):
    optimizer = odt.Momentum(0.1, momentum=0.9)
    made = odt.compile(int8_heads.network(0.1), scheme="full", board="host", optimizer=optimizer)
    project, whole = (made.save(tmp_path / name) for name in ("project", "whole"))
    x = np.random.default_rng(0).integers(-9, 9, (4, *made.manifest.sample_shape), np.int8)
    data = x, np.arange(4) % made.manifest.classes

    def at_the_third(done, _total, _loss):
        if done == 3:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(
        KeyboardInterrupt, match=r"interrupted after step 3 of 500; .* learned\.npz"
    ):
        odt.run_project(project, data, steps=500, on_progress=at_the_third)
    told = json.loads((project / "run.json").read_text())
    assert told["steps"] == len(told["losses"]) == 3 and "interrupted" in told["stopped"]
    assert np.load(project / "learned.npz").files
    result = odt.run_project(project, data, continued=True)
    assert result["losses"] == odt.run_project(whole, data, steps=500)["losses"]
    assert (project / "learned.npz").read_bytes() == (whole / "learned.npz").read_bytes()


def test_a_second_time_it_acts_at_once():
    usual = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), held_back() as interrupted:
        signal.raise_signal(signal.SIGINT)
        assert interrupted()
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is usual
