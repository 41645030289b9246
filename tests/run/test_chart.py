"""Charts of text: where the dots are."""

import pytest

from tvm_ondevice_train.run.chart import line_chart


def test_a_line_goes_from_its_highest_to_its_lowest_value():
    assert line_chart([3.0, 2.0, 1.0], 13, 3, ascii_only=True) == [
        "        3 *  ",
        "           * ",
        "        1   *",
    ]


def test_a_jump_leaves_no_gap():
    assert line_chart([0.0, 3.0, 3.0], 13, 4, ascii_only=True) == [
        "        3  **",
        "           * ",
        "           * ",
        "        0 *  ",
    ]


def test_many_values_become_means_of_equal_shares():
    values = [0.0] * 50 + [1.0, 3.0] * 25
    assert line_chart(values, 12, 2, ascii_only=True) == ["        2  *", "        0 * "]


def test_few_values_are_spread_over_the_width():
    assert line_chart([0.0, 2.0], 13, 3, ascii_only=True) == [
        "        2   *",
        "           * ",
        "        0 *  ",
    ]


def test_a_braille_sign_has_eight_dots():
    assert line_chart([0.0, 1.0], 11, 1) == ["        0 ⡸"]  # four dots: one left, three right
    assert line_chart([1.0, 0.0], 11, 1) == ["        0 ⢱"]


@pytest.mark.parametrize("values", [[5.0], [5.0] * 1000])
def test_a_flat_line_lies_in_the_middle(values):
    lines = line_chart(values, 20, 3, ascii_only=True)
    assert [set(line[10:]) for line in lines] == [{" "}, {"*"}, {" "}]
