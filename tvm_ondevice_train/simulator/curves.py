"""The runs of a sweep as a picture."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import Any

from ..files.whole_file import write_whole

_INCHES, _DPI = (11, 5), 110


def write_curves(path: str | os.PathLike[str], lines: Sequence[dict[str, Any]]) -> None:
    """A PNG: how right each run was, and its mean loss, epoch by epoch; a colour for each scheme.

    lines : of runs.jsonl. It needs matplotlib (see `run.curves.check_plot`).
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=_INCHES, dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    right, losses = figure.subplots(1, 2)
    kinds = list(dict.fromkeys((line["scheme"], line["learning_rate"]) for line in lines))
    named = set()
    for line in lines:
        kind = line["scheme"], line["learning_rate"]
        label = None if kind in named else f"{kind[0]}, {kind[1]:g}"
        style: dict[str, Any] = {"color": f"C{kinds.index(kind) % 10}", "label": label}
        named.add(kind)
        key = "accuracy" if "accuracy" in line["after"] else "error"
        points = [(e["step"], e[key]) for e in line["evaluations"] if key in e]
        right.plot(*zip(*points, strict=True), "o-", markersize=3, **style) if points else None
        epochs = [(epoch["epoch"], epoch["loss"]) for epoch in line["epochs"]]
        losses.plot(*zip(*epochs, strict=True), "o-", markersize=3, **style) if epochs else None
        right.set(title=key, xlabel="step")
    losses.set(title="mean training loss", xlabel="epoch")
    for axes in (right, losses):
        axes.grid(alpha=0.3)
    right.legend(frameon=False, fontsize="small")
    content = io.BytesIO()
    figure.savefig(content, format="png")
    write_whole(path, content.getvalue(), "simulate")
