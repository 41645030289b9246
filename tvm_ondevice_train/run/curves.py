"""A run as a picture: loss, accuracy, learning rate, and what was taken for what."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import OdtError
from ..files.plain_text import shortened
from ..files.whole_file import write_whole
from .tables import steps_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INCHES, _DPI = (11, 7), 110
_STRETCHES = 100  # means of so many equal parts of the run make its curve smooth
_MOST_NUMBERED = 12  # classes whose cells have room for their numbers
_SHORT = 3  # characters of a class's name that stand side by side
_TILTED: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
_COLOURS = {"training": "#0072b2", "validation": "#e69f00", "test": "#d55e00"}


def check_plot(path: str | Path) -> None:
    """Refuse, before a run, a picture that could not be made after it."""
    if Path(path).suffix.lower() != ".png":
        raise OdtError(f"run: {path} is no .png; the curves are a picture")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise OdtError(
            'run: curves need matplotlib; pip install "tvm-ondevice-train[plot]"'
        ) from None


def write_curves(path: str | Path, result: Mapping[str, Any]) -> None:
    """A PNG of what `run.json` holds."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=_INCHES, dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 2)
    _losses(panels[0, 0], result)
    _how_right(panels[0, 1], result)
    _rates(panels[1, 0], result)
    _confusion(panels[1, 1], result)
    content = io.BytesIO()
    figure.savefig(content, format="png")
    write_whole(path, content.getvalue(), "run")


def _losses(axes: Axes, result: Mapping[str, Any]) -> None:
    steps, losses = np.array(steps_of(result)), np.array(result["losses"])
    axes.plot(steps, losses, ".", color="#bbbbbb", markersize=2, label="each step")
    parts = np.array_split(np.arange(len(steps)), min(_STRETCHES, max(1, len(steps) // 2)))
    means = [(steps[part].mean(), losses[part].mean()) for part in parts if len(part)]
    axes.plot(*zip(*means, strict=True), color=_COLOURS["training"], label="training, mean")
    _evaluated(axes, result, "loss")
    if len(losses):
        axes.set_ylim(bottom=0 if losses.min() >= 0 else None, top=_top(losses))
    _finish(axes, "loss")


def _top(losses: np.ndarray) -> float:
    """Above all but the few largest losses, which would flatten the rest."""
    return 1.1 * float(np.quantile(losses, 0.99)) or 1.0


def _how_right(axes: Axes, result: Mapping[str, Any]) -> None:
    key = "accuracy" if any("accuracy" in found for found in result["evaluations"]) else "error"
    _evaluated(axes, result, key)
    if result["best_step"] is not None:
        axes.axvline(result["best_step"], color="#bbbbbb", linestyle=":", label="best")
    _finish(axes, key if result["evaluations"] else "no evaluations (--eval-every)")


def _evaluated(axes: Axes, result: Mapping[str, Any], key: str) -> None:
    for of, colour in _COLOURS.items():
        points = [(e["step"], e[key]) for e in result["evaluations"] if e["of"] == of and key in e]
        if points:
            columns = zip(*points, strict=True)
            style = "o-" if len(points) > 2 else "o"  # before and after make no curve
            axes.plot(*columns, style, color=colour, markersize=4, label=f"{of} set")


def _rates(axes: Axes, result: Mapping[str, Any]) -> None:
    axes.plot(steps_of(result), result["learning_rates"], color=_COLOURS["training"])
    for lowered in result["lowered"]:
        axes.axvline(lowered["step"], color=_COLOURS["test"], linestyle=":")
    _finish(axes, f"learning rate, {result['plan']['schedule']['kind']}")


def _finish(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left")
    axes.set_xlabel("step")
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize="small")


def _confusion(axes: Axes, result: Mapping[str, Any]) -> None:
    if result["confusion"] is None:
        axes.set_axis_off()
        return
    counts = np.array(result["confusion"])
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_title("what was taken for what, at the end", loc="left")
    axes.set_xlabel("taken for")
    axes.set_ylabel("class")
    if len(counts) > _MOST_NUMBERED:
        return
    names = [shortened(row.get("name", str(row["class"])), 20) for row in result["classes"]]
    tilted = _TILTED if max(map(len, names)) > _SHORT else {}
    axes.set_xticks(range(len(counts)), names, parse_math=False, **tilted)
    axes.set_yticks(range(len(counts)), names, parse_math=False)
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, count, ha="center", va="center", color=colour, fontsize=8)
