"""Loop variables called by what they count."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import tvm_ffi

from ..blocks import spatial_axes
from ..tir import s_tir, tirx

_AXES = {
    **dict.fromkeys(("n", "nn"), "batch"),
    **dict.fromkeys(("c", "rc"), "channel"),
    **dict.fromkeys(("o", "ff"), "output"),
    **dict.fromkeys(("h", "yy"), "row"),
    **dict.fromkeys(("w", "xx"), "column"),
    **dict.fromkeys(("i", "ry", "rv0"), "tap_row"),
    **dict.fromkeys(("j", "rx", "rv1"), "tap_column"),
    "g": "group",
    "p": "pixel",
    "r": "tap",
}
_NUMBERED = re.compile(r"(?:ax|i|v|k)(\d+)")  # axes that TVM numbers
_ACTIVATION = ("batch", "channel", "row", "column")
_WEIGHT = ("output", "channel", "tap_row", "tap_column")
_PAIRS: dict[tuple[str, ...], str] = {("row", "column"): "pixel", ("tap_row", "tap_column"): "tap"}
_ANY = "element"


def with_loop_names(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """A scheduled `function`, each of its loops named after the axis of a block that it walks.

    Of several loops that walk an axis the outer ones count its tiles.
    """
    names: dict[tirx.Var, tuple[float, str]] = {}  # how little a name suits it, the name
    loops: list[tirx.For] = []

    def enter(loop: tirx.For, visitor: Any) -> None:
        loops.append(loop)
        visitor.default_visit(loop)
        loops.pop()

    def block(realize: s_tir.SBlockRealize, visitor: Any) -> None:
        around = [loop.loop_var for loop in loops if int(loop.extent) > 1]
        for variable, found in _names_in(realize, around).items():
            names[variable] = min(names.get(variable, found), found, key=lambda each: each[0])
        visitor.default_visit(realize)

    tvm_ffi.structural_visit(function.body, [(tirx.For, enter), (s_tir.SBlockRealize, block)])
    renamed = {variable: tirx.Var(name, variable.ty) for variable, (_, name) in names.items()}
    rename = (tirx.Var, lambda variable: renamed.get(variable, variable))
    return function.with_body(tvm_ffi.structural_map(function.body, [rename], order="pre"))


def _names_in(
    realize: s_tir.SBlockRealize, loops: Sequence[tirx.Var]
) -> dict[tirx.Var, tuple[float, str]]:
    """What each of the `loops`, outermost first, counts in a block, and how little that suits it.

    Best (0) is an axis that the loop walks alone, worst (2) one of whose tiles it walks; and an
    axis with a name is better than one without.
    """
    walked: dict[tirx.Var, list[tuple[int, str]]] = {}
    for axis, value in zip(realize.block.iter_vars, realize.iter_values, strict=True):
        used = {*tirx.analysis.undefined_vars(value)}
        inside = [variable for variable in loops if variable in used]
        for variable in inside:
            alone, last = len(inside) == 1, variable.same_as(inside[-1])
            suits = 0 if alone else 1 if last else 2
            walked.setdefault(variable, []).append((suits, _called(axis, realize.block)))
    return {variable: _name_of(axes) for variable, axes in walked.items()}


def _name_of(axes: Sequence[tuple[int, str]]) -> tuple[float, str]:
    suits, names = max(suits for suits, _ in axes), tuple(name for _, name in axes)
    name = names[0] if len(set(names)) == 1 else _PAIRS.get(names, _ANY)
    return suits + (name == _ANY) / 2, f"{name}_tile" if suits == 2 else name


def _called(axis: tirx.IterVar, block: s_tir.SBlock) -> str:
    """What an axis of a block counts."""
    name = axis.var.name.removeprefix("v_")
    number = _NUMBERED.fullmatch(name)
    if number is None:
        return _AXES.get(name, name if len(name) > 1 else _ANY)
    extents = [int(each.dom.extent) for each in spatial_axes(block)]
    position = int(number[1])
    if len(extents) != 4 or position >= 4:
        return _ANY if len(extents) < 3 else ("channel", "row", "column", _ANY)[min(position, 3)]
    return (_ACTIVATION if extents[0] == 1 else _WEIGHT)[position]
