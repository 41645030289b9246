"""Checks of what stands in a JSON file."""

from dataclasses import dataclass

import pytest

from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.files import checked_json as checked


@dataclass(frozen=True)
class Point:
    x: int
    y: int | None

    def __post_init__(self):
        if self.x == self.y:
            raise OdtError("x and y are the same")


POINT = checked.record(Point, {"x": checked.integer(0, 9), "y": checked.optional(checked.flag)})
POINTS = checked.named(checked.listed(POINT, most=2))


def test_what_fits_is_given_back():
    assert POINTS({"a": [], "b": [{"x": 1, "y": None}, {"x": 2, "y": True}]}, "p") == {
        "a": (),
        "b": (Point(1, None), Point(2, True)),
    }
    assert checked.number(0)(3, "n") == 3.0 and isinstance(checked.number(0)(3, "n"), float)
    assert checked.integer(0)(10**40, "n") == 10**40
    assert checked.text("", "n") == "" and checked.one_of("a", "b")("b", "n") == "b"


@pytest.mark.parametrize(
    ("check", "value", "expected"),
    [
        (POINTS, {"a\nb": [1]}, 'p["a\\nb"][0] is 1; it must be an object'),
        (POINTS, {"a": [{}]}, 'p["a"][0].x is missing'),
        (POINTS, {"a": [{"x": 1, "y": None, "z": 0}]}, '"z" is unknown; allowed are x, y'),
        (POINTS, {"a": [{"x": 1, "y": True}]}, 'p["a"][0]: x and y are the same'),
        (POINTS, {"a": [None] * 3}, "it must be a list of 0 to 2 entries"),
        (checked.text, 5, "p is 5; it must be a string"),
        (checked.flag, 0, "p is 0; it must be true or false"),
        (checked.one_of("a", "b"), "c" * 200, "...; it must be one of a, b"),
        (checked.integer(0, 1500), 1501, "p is 1501; it must be an integer from 0 to 1,500"),
        (checked.number(0.5), float("nan"), "p is NaN; it must be a number from 0.5 to"),
        (checked.number(0), 10**400, "p is 1000"),
    ],
)
def test_what_does_not_is_named_in_one_line(check, value, expected):
    with pytest.raises(OdtError) as error:
        check(value, "p")
    assert expected in str(error.value)
    assert len(str(error.value)) < 200 and len(str(error.value).splitlines()) == 1
