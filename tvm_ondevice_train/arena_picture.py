"""A picture of a planned step's memory: what lies where in the arena, op by op."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from relay_passes.memory.step import Step, Task, Tensor

from .codegen.planned_step import PlannedStep, workspace_name
from .errors import OdtError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import RendererAgg

COLOURS = {  # of Okabe and Ito, told apart without red and green
    "forward": "#56b4e9",
    "saved for the backward": "#e69f00",
    "backward": "#2fae8a",
    "scratch": "#bbbbbb",
    "what updates wrote over": "#8c96c6",
    "trained parameters": "#d59abb",
}
LABELS = 24  # how many of the largest rectangles may get one


@dataclass(frozen=True)
class Rectangle:
    """Bytes ``offset ... offset + size_bytes - 1`` from `start` to `end`.

    Op i takes the time from i to i + 1. A result that takes its operand's bytes does so at half
    time, so that no two rectangles overlap. kind: a key of `COLOURS`. labels: the longest first.
    """

    name: str
    kind: str
    start: float
    end: float
    offset: int
    size_bytes: int
    labels: tuple[str, ...] = ()

    @property
    def area(self) -> float:
        return (self.end - self.start) * self.size_bytes


def memory_rectangles(planned: PlannedStep) -> tuple[Rectangle, ...]:
    """A rectangle for each tensor, workspace and backup of the arena, and each trained parameter.

    Trained parameters lie in a struct of their own, not in the arena; they are put on top of it.
    """
    return (
        *_tensors(planned),
        *_workspaces(planned),
        *_backups(planned),
        *_parameters(planned),
    )


def draw_arena(
    planned: PlannedStep,
    path: str | os.PathLike[str],
    title: str = "",
    top_bytes: int | None = None,
) -> None:
    """Write a PNG of 1200x700: ops to the right, arena offsets upwards, a colour for each kind.

    top_bytes : where the axis of offsets ends, so that two maps can be compared; by default at
        what this one needs. Raises OdtError where matplotlib is missing.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise OdtError(
            "arena picture: needs matplotlib; pip install 'tvm-ondevice-train[plot]'"
        ) from error
    rectangles = memory_rectangles(planned)
    figure = Figure(figsize=(12, 7), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    top = top_bytes or max((r.offset + r.size_bytes for r in rectangles), default=1)
    axes.set(xlim=(0, max(len(planned.step.tasks), 1)), ylim=(0, top * 1.02), title=title)
    axes.set(xlabel="operator, in execution order", ylabel="offset in the arena, bytes")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    for rectangle in rectangles:
        _draw(axes, rectangle)
    _draw_legend(axes, planned, {r.kind for r in rectangles})
    figure.legend(loc="outside lower center", ncols=7, fontsize=8, frameon=False)
    canvas.draw()  # only now is it known how large a rectangle is in pixels
    for rectangle in sorted(rectangles, key=lambda r: -r.area)[:LABELS]:
        _label(axes, canvas.get_renderer(), rectangle)
    figure.savefig(path)


def _tensors(planned: PlannedStep) -> list[Rectangle]:
    kinds, writers, live = _kinds(planned), _writers(planned.step), planned.step.live
    sharing = defaultdict(list)
    for tensor in live:
        sharing[planned.places[tensor.name].buffer].append(tensor)
    rectangles = []
    for tensor, (first, last) in live.items():
        others = [
            live[other]
            for other in sharing[planned.places[tensor.name].buffer]
            if other is not tensor and _overlap(planned, tensor, other)
        ]
        taken = first in (end for _, end in others)
        given = last in (begin for begin, _ in others)
        start, end = first + 0.5 * taken, last + (0.5 if given else 1)
        rectangles.append(
            Rectangle(
                tensor.name,
                kinds[tensor.name],
                start,
                end,
                planned.offsets[tensor.name],
                tensor.size_bytes,
                _labels(tensor, writers.get(tensor.name)),
            )
        )
    return rectangles


def _overlap(planned: PlannedStep, one: Tensor, other: Tensor) -> bool:
    low, high = planned.offsets[one.name], planned.offsets[other.name]
    return low < high + other.size_bytes and high < low + one.size_bytes


def _workspaces(planned: PlannedStep) -> list[Rectangle]:
    return [
        Rectangle(
            workspace_name(index),
            "scratch",
            index,
            index + 1,
            planned.workspace_offset(index),
            task.kernel.workspace_bytes,
        )
        for index, task in enumerate(planned.step.tasks)
        if task.kernel.workspace_bytes
    ]


def _backups(planned: PlannedStep) -> list[Rectangle]:
    end = len(planned.step.tasks)
    return [
        Rectangle(t.backup_name, "what updates wrote over", index, end, offset, t.size_bytes)
        for index, t, offset in planned.backups
    ]


def _parameters(planned: PlannedStep) -> list[Rectangle]:
    end, offset, rectangles = len(planned.step.tasks), planned.plan.total_bytes, []
    trained = [tensor for _, tensor in planned.step.updates]
    for tensor in sorted(trained, key=lambda t: t.size_bytes, reverse=True):
        size = tensor.size_bytes
        labels = (f"{tensor.name}, {size:,} bytes", tensor.name)
        kind = "trained parameters"
        rectangles.append(Rectangle(tensor.name, kind, 0, end, offset, size, labels))
        offset += size
    return rectangles


def _labels(tensor: Tensor, writer: Task | None) -> tuple[str, ...]:
    layer, _, work = writer.name.partition(":") if writer else ("input", "", "")
    name = work if work and layer == "input" else layer  # "input": no parameter is near
    shape = f"{tensor.dtype} {'x'.join(map(str, tensor.shape))}"
    size = f"{tensor.size_bytes:,}"
    return (
        *((f"{name}: {work}\n{shape}\n{size} bytes",) if work and name != work else ()),
        f"{name}\n{shape}\n{size} bytes",
        f"{name}\n{size}",
        f"{name} {size}",
        size,
    )


def _kinds(planned: PlannedStep) -> dict[str, str]:
    """Tensor of the arena -> its kind. A tensor is of the backward if it depends on the target, but
    the loss, which is the first result, not on it; what else lives on once the first such tensor
    exists is saved for it.
    """
    tasks, live = planned.step.tasks, planned.step.live
    behind = {t for task in tasks for t in task.inputs if t.role == "target"}
    for task in tasks:
        if behind & {*task.inputs}:
            behind |= {*task.outputs}
    before = {*planned.step.results[:1]}
    for task in reversed(tasks):
        if before & {*task.outputs}:
            before |= {*task.inputs}
    backward = behind - before
    begin = min((first for t, (first, _) in live.items() if t in backward), default=len(tasks))

    def kind(tensor: Tensor, last: int) -> str:
        if tensor in backward:
            return "backward"
        return "forward" if last < begin else "saved for the backward"

    return {tensor.name: kind(tensor, last) for tensor, (_, last) in live.items()}


def _writers(step: Step) -> dict[str, Task]:
    return {t.name: task for task in step.tasks for t in task.outputs if t.in_arena}


def _draw(axes: Axes, rectangle: Rectangle) -> None:
    from matplotlib import patches

    corner, width = (rectangle.start, rectangle.offset), rectangle.end - rectangle.start
    axes.add_patch(
        patches.Rectangle(
            corner,
            width,
            rectangle.size_bytes,
            facecolor=COLOURS[rectangle.kind],
            edgecolor="white",
            linewidth=0.1 if rectangle.kind == "trained parameters" else 0.5,
        )
    )


def _draw_legend(axes: Axes, planned: PlannedStep, kinds: set[str]) -> None:
    """The arena's end and the lower bound as lines, and the legend's entries."""
    from matplotlib import patches

    plan = planned.plan
    state = sum(r.size_bytes for r in _parameters(planned))
    for kind in filter(kinds.__contains__, COLOURS):
        note = f", {state:,} bytes" if kind == "trained parameters" else ""
        empty = patches.Rectangle((0, 0), 0, 0, facecolor=COLOURS[kind], label=kind + note)
        axes.add_patch(empty)
    end, bound = plan.total_bytes, plan.lower_bound_bytes
    axes.axhline(end, color="black", lw=1.5, label=f"arena, {end:,} bytes")
    style: dict[str, Any] = {"color": "#c0392b", "lw": 1.5, "ls": (0, (5, 5))}
    axes.axhline(bound, label=f"lower bound, {bound:,} bytes", **style)


def _label(axes: Axes, renderer: RendererAgg, rectangle: Rectangle) -> None:
    """The longest of its labels that fits into the rectangle, upright or turned; else none."""
    corners = axes.transData.transform(
        [
            (rectangle.start, rectangle.offset),
            (rectangle.end, rectangle.offset + rectangle.size_bytes),
        ]
    )
    corners[:, 1] = corners[:, 1].clip(*axes.bbox.intervaly)
    (width, height), centre = corners[1] - corners[0], corners.mean(axis=0)
    x, y = axes.transData.inverted().transform(centre)
    for label in rectangle.labels:
        for rotation in (0, 90):
            text = axes.text(x, y, label, ha="center", va="center", fontsize=8, rotation=rotation)
            extent = text.get_window_extent(renderer)
            if extent.width + 4 <= width and extent.height + 2 <= height:
                return
            text.remove()
