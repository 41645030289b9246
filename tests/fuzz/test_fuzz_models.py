"""Damaged model files are accepted or refused; the harness finds what is planted."""

import gc
import os
import signal
import time
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from fuzz_models import KINDS, load, outcome_of, outcomes, prepare
from model_seeds import seeds
from mutations import mutated

from tvm_ondevice_train.errors import OdtError

COUNTS = {"onnx": 60, "tflite": 60, "pt2": 6}
SEEDS = sorted(Path(__file__).with_name("seeds").iterdir())


@pytest.fixture(scope="module", autouse=True)
def imported():
    pytest.importorskip("torch")
    prepare()
    yield
    gc.unfreeze()


def tried(kind, content, work, numbers, **limits):
    until = time.monotonic() + 300
    return list(outcomes(kind, content, work, iter(numbers), until, **limits))


@pytest.mark.parametrize("kind", KINDS)
def test_the_undamaged_files_are_accepted(kind, tmp_path):
    for name, content in seeds(kind).items():
        path = tmp_path / f"{name}.{kind}"
        path.write_bytes(content)
        assert outcome_of(0, path, load).name == "accepted", name


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_fail_in_no_other_way_than_by_a_line(kind):
    found = tried(kind, lambda number: mutated(kind, number), load, range(COUNTS[kind]))
    assert [outcome.number for outcome in found] == list(range(COUNTS[kind]))
    assert not [outcome for outcome in found if outcome.is_failure]


@pytest.mark.parametrize("path", SEEDS, ids=lambda path: path.name)
def test_what_failed_once_fails_no_more(path):
    """Files that fuzzing found."""
    kind = path.suffix.removeprefix(".")
    (found,) = tried(kind, lambda _: path.read_bytes(), load, [0])
    assert not found.is_failure, found


@pytest.mark.parametrize("kind", KINDS)
def test_a_number_is_a_file(kind):
    files = [mutated(kind, number) for number in range(20)]
    assert files == [mutated(kind, number) for number in range(20)]
    assert len({*files, *seeds(kind).values()}) > 15


def planted(way):
    def work(_path):
        if way == "traceback":
            raise KeyError("here")
        if way == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if way == "hang":
            time.sleep(60)
        if way == "memory":
            np.zeros(8 << 30, np.uint8)
        if way == "text":
            raise OdtError("word " * 1000)

    return work


@pytest.mark.parametrize("way", ["traceback", "crash", "hang", "memory", "text"])
def test_what_is_planted_is_found_and_the_next_file_is_tried(way):
    def content(number):
        return b"bad" if number == 2 else b"good"

    def work(path):
        if path.read_bytes() == b"bad":
            planted(way)(path)

    found = tried("onnx", content, work, range(5), seconds=2.0)
    assert [(o.number, o.name) for o in found] == [
        (number, way if number == 2 else "accepted") for number in range(5)
    ]


def test_time_ends_it():
    until = time.monotonic() + 0.5
    found = list(outcomes("onnx", lambda _: b"", lambda _: time.sleep(0.01), count(), until))
    assert 0 < len(found) < 60
