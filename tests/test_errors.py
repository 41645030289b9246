"""What a user reads is a line, whatever stands in a file."""

import pytest

from tvm_ondevice_train.errors import (
    LONGEST,
    ModelError,
    Obstacle,
    OdtError,
    first_line,
    last_line,
    one_line,
)

TRACE = ValueError("\n  Traceback of a library\n  at line 3\n\nthe cause is this\n")


def test_a_line_has_no_control_characters_and_an_end():
    assert str(OdtError("net\n\x1b[2J: too large")) == r"net\n\x1b[2J: too large"
    long = str(OdtError("word " * 1000))
    assert len(long) <= LONGEST and long.endswith("word ...")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("a name\nof two lines", "a name of two lines"),
        ("bell\x07", r"bell\x07"),
        ((1, 2), "(1, 2)"),
        (ValueError(""), "ValueError"),
        ("x" * 400, "x" * 196 + " ..."),
    ],
)
def test_words_of_others_are_one_short_line(words, line):
    assert one_line(words) == line


def test_the_first_and_the_last_line_of_an_exception():
    assert first_line(TRACE) == "Traceback of a library"
    assert last_line(TRACE) == "the cause is this"
    assert first_line(KeyError()) == last_line(KeyError()) == "KeyError"


@pytest.mark.parametrize(
    ("count", "ends"), [(1, "group 3"), (2, "group 3 (and 1 more: see `ondevice-train check`)")]
)
def test_a_model_says_its_first_obstacle_and_how_many_more(count, ends):
    error = ModelError("net.onnx", [Obstacle("Conv (node 1)", "group 3")] * count)
    assert str(error) == f"net.onnx: Conv (node 1): {ends}"
    assert len(error.obstacles) == count
