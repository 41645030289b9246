"""A program that does not answer is given up, in whatever way it is silent or noisy."""

import os
import signal
import time

import pytest
from fake_project import fake_project

from tvm_ondevice_train.device import Session
from tvm_ondevice_train.device.launch import Running
from tvm_ondevice_train.device.protocol import read_frame
from tvm_ondevice_train.errors import OdtError

LAUNCH = "tvm_ondevice_train.device.launch"


def shell(script, directory):
    return Running(["sh", "-c", script], directory, counts=None)


def test_a_halted_program_is_noticed(monkeypatch, tmp_path):
    monkeypatch.setattr(f"{LAUNCH}._LOOK_SECONDS", 0.02)
    monkeypatch.setattr(f"{LAUNCH}._HALTED_SECONDS", 0.1)
    with Session(fake_project(tmp_path / "project")) as device:
        os.kill(device._running._process.pid, signal.SIGSTOP)
        with pytest.raises(OdtError, match="its process was halted by a signal"):
            device.stats()


def test_noise_without_end_is_no_answer(tmp_path):
    program = shell("while :; do echo noise; done", tmp_path)
    started = time.monotonic()
    with pytest.raises(OdtError, match="no answer in time"):
        read_frame(program, timeout=0.3)
    assert time.monotonic() - started < 5
    program.close()


def test_text_without_the_end_of_its_line_is_no_line(tmp_path):
    program = shell("while :; do printf x; done", tmp_path)
    with pytest.raises(OdtError, match="no answer in time"):
        program.read_line(timeout=0.3)
    program.close()


def test_a_program_that_closes_its_output_and_stays_is_ended(monkeypatch, tmp_path):
    monkeypatch.setattr(f"{LAUNCH}._END_SECONDS", 0.2)
    program = shell("exec >&-; exec sleep 60", tmp_path)
    with pytest.raises(OdtError, match="the program stopped: no message"):
        program.read(4, timeout=10)
    program.close()


def test_an_answer_of_another_length_is_refused(tmp_path):
    project = fake_project(tmp_path / "project")
    source = project / "runtime/src/odt_protocol.c"
    text, right = source.read_text(), "sizeof c->odt->params"
    assert right in text
    source.write_text(text.replace(right, f"{right} - 4"))
    with Session(project) as device, pytest.raises(OdtError, match="GET_PARAMS with 2,596 bytes"):
        device.parameters()
