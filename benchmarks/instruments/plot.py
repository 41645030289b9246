"""A picture of where a network's instructions go, op by op."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

COLOURS = {"forward": "#56b4e9", "backward": "#e69f00"}
GAP = 1.5  # between groups, in bars
SMALL = 0.001  # of all instructions: ops that take less are left out


def draw(name: str, network: dict, path: Path) -> None:
    """Write a PNG of 1800x1000: instructions per MAC above, in millions below.

    Bars are ops, grouped by what they compute, the most expensive group first, and in execution
    order in each.
    """
    total = sum(op["instructions"] for op in network["ops"])
    shown = [op for op in network["ops"] if op["instructions"] >= SMALL * total]
    rest = 1 - _sum(shown, "instructions") / total
    groups = _groups(shown)
    figure = Figure(figsize=(18, 10), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    per_mac, millions = figure.subplots(2, sharex=True)
    places, names, begin = [], [], 0.0
    for label, ops in groups:
        xs = [begin + index for index in range(len(ops))]
        colours = [COLOURS[op["pass"]] for op in ops]
        per_mac.bar(xs, [op["per_mac"] or 0 for op in ops], color=colours)
        millions.bar(xs, [op["instructions"] / 1e6 for op in ops], color=colours)
        _describe(per_mac, millions, label, ops, total, xs)
        places += xs
        names += [op["name"].partition(":")[0] for op in ops]
        begin += len(ops) + GAP
    millions.set_xticks(places, names, rotation=90, fontsize=7)
    per_mac.set(ylabel="guest instructions per MAC", xlim=(-1, begin - GAP))
    per_mac.set_title(f"{name} (ops of less than {SMALL:.1%} are left out, {rest:.1%} in all)")
    millions.set(ylabel="guest instructions, millions")
    for axes in (per_mac, millions):
        axes.margins(y=0.35)
        axes.grid(axis="y", lw=0.4)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    _legend(figure, per_mac, network["ops"])
    figure.savefig(path)


def _groups(ops: list[dict]) -> list[tuple[str, list[dict]]]:
    ordered = sorted(ops, key=lambda op: op["group"])
    groups = [(label, list(members)) for label, members in groupby(ordered, lambda o: o["group"])]
    return sorted(groups, key=lambda entry: -_sum(entry[1], "instructions"))


def _sum(ops: list[dict], key: str) -> int:
    return sum(op[key] for op in ops)


def _describe(per_mac, millions, label: str, ops: list[dict], total: int, xs: list[float]) -> None:
    """Over its bars, the group's name, mean per MAC (a line as well) and share."""
    instructions, macs = _sum(ops, "instructions"), _sum(ops, "macs")
    style = {"ha": "center", "va": "bottom", "fontsize": 8, "textcoords": "offset points"}
    style["rotation"] = 90 if len(ops) < 5 else 0
    middle = (xs[0] + xs[-1]) / 2
    share = f"{label}\n{instructions / total:.1%}"
    millions.annotate(share, (middle, _top(ops, "instructions") / 1e6), (0, 3), **style)
    if macs:
        mean = instructions / macs
        per_mac.hlines(mean, xs[0] - 0.5, xs[-1] + 0.5, color="black", lw=1)
        text = f"{label}\nmean {mean:.2f}"
        per_mac.annotate(text, (middle, _top(ops, "per_mac")), (0, 3), **style)


def _top(ops: list[dict], key: str) -> float:
    return max(op[key] or 0 for op in ops)


def _legend(figure, axes, ops: list[dict]) -> None:
    for part, colour in COLOURS.items():
        amount = _sum([op for op in ops if op["pass"] == part], "instructions")
        if amount:
            axes.bar(0, 0, color=colour, label=f"{part}, {amount / 1e6:.1f} million")
    axes.hlines([], 0, 0, color="black", lw=1, label="mean of the group")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
