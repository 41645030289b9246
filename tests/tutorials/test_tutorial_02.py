"""The second tutorial: its figures fall from pass to pass, and its pictures show something."""

import re
import runpy
from contextlib import redirect_stdout
from io import StringIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TUTORIAL = Path(__file__).parents[2] / "tutorials" / "02_the_passes.py"


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """(what the tutorial returns, what it prints, where it writes)"""
    folder, text = tmp_path_factory.mktemp("tutorial"), StringIO()
    with redirect_stdout(text):
        rows = runpy.run_path(str(TUTORIAL))["main"](str(folder))
    return rows, text.getvalue(), folder


@pytest.mark.parametrize(
    "column, falls_at",
    [
        ("arena_bytes", {1, 3, 4, 5, 6}),  # dead gradients pay where kernels may move
        ("kernels", {1, 3, 4}),
        ("operators", {1, 3}),
        ("state_bytes", {1}),
    ],
)
def test_figures_fall_at_the_passes_that_are_said_to_lower_them(told, column, falls_at):
    figures = [getattr(row, column) for row in told[0]]
    changes = [new - old for old, new in pairwise(figures)]
    assert all(change <= 0 for change in changes)
    assert {step for step, change in enumerate(changes, 1) if change} == falls_at


def test_no_pass_can_be_left_out(told):
    first, *passes = told[0]
    assert first.without_bytes is None
    assert all(row.without_bytes > passes[-1].arena_bytes for row in passes)
    assert passes[-1].arena_bytes * 10 < first.arena_bytes


def test_the_printed_table_and_the_front_door_say_the_same(told):
    rows, text, _ = told
    table = text.split("passes so far")[-1]
    printed = re.findall(r"^(\S.*?) +(\d+) +(\d+) +([\d,]+) .* ([\d,]+)$", table, re.MULTILINE)
    assert [entry[0] for entry in printed] == [row.name for row in rows]
    assert [int(entry[3].replace(",", "")) for entry in printed] == [r.arena_bytes for r in rows]
    assert f"odt.compile: an arena of {rows[-1].arena_bytes:,} bytes" in text


@pytest.mark.parametrize(
    "line",
    [
        r"take_channels\(\w+, ranges=\[0, 12\]\)",
        r"positive_mask\(\w+, saved=True\)",
        r"qconv2d\(.*mask=True",
        r"weight_grad\w*_sgd_update_codes",
    ],
)
def test_the_ir_that_the_text_speaks_of_is_shown(told, line):
    assert re.search(rf"^    \w+ = .*{line}", told[1], re.MULTILINE)


def pixels(folder, name):
    return np.asarray(Image.open(folder / f"arena_{name}.png").convert("RGB")).astype(int)


def coloured(picture):
    """How many pixels are neither grey, black nor white."""
    return int(np.sum(picture.max(axis=2) - picture.min(axis=2) > 40))


def test_pictures_are_of_one_size_and_differ_as_the_memory_does(told):
    before, after, enlarged = (
        pixels(told[2], name) for name in ("before", "after", "after_enlarged")
    )
    assert before.shape == after.shape == enlarged.shape == (700, 1200, 3)
    assert coloured(before) > 10 * coloured(after) > 50_000
    assert coloured(enlarged) > 5 * coloured(after)
