"""In which order to run the kernels of a training step so that few bytes are live at once.

An order is better if its peak is lower. What runs before the first task at the peak, and what runs
after it, is judged by the same rule, and so on: so the backward's own peak is low as well where the
forward has the higher one. Among equals the order given stays.

Almost everywhere the order given is best, which a lower bound proves. Elsewhere a window of the
order about its peak is searched exactly while the rest stays, then wider ones, last all of it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from .order_exact import Graph, least_peak, members, set_of

_WIDTHS = (8, 16, 32, 64, 128)
_BOUND_WIDTHS = (3, 5, 7, 9)


@dataclass(frozen=True)
class Order:
    """The tasks in the order to run them.

    lower_bound_bytes: no order has a smaller peak.
    method: "exact" if the peak is that bound, so proven least; "heuristic" if it may be larger.
    """

    tasks: tuple[int, ...]
    peak_bytes: int
    lower_bound_bytes: int
    method: str


def search(graph: Graph, *, beside: bool = True, effort: int = 2000) -> Order:
    """The best order found; its peak is never higher than that of the tasks as given.

    There is no clock and no chance in it: the same input gives the same order.

    beside: whether what runs before and after the peak gets low as well; else it stays, where it
        can.
    effort: the most sets of tasks that one exact search visits, of the many that are made: fewer
        where there are more than 100 tasks, so that time grows with their number and no faster.
    """
    given = list(range(len(graph.tasks)))
    if not given:
        return Order((), 0, 0, "exact")
    effort = max(1, effort * 100 // max(len(given), 100)) if effort else 0
    start = min(given, _on_demand(graph), key=lambda order: _peak(graph, order)[0])
    order, bound = _lowered(graph, start, effort)
    peak, (peak_at, *_) = _peak(graph, order)
    for width in _BOUND_WIDTHS:
        if bound < peak:
            among = order[max(0, peak_at - width // 2) : peak_at + width // 2 + 1]
            bound = max(bound, _least_peak_among(graph, among, peak))
    if beside:
        order = _lowered_beside(graph, order, peak_at, peak // 4, effort)
    return Order(tuple(order), peak, bound, "exact" if peak == bound else "heuristic")


def _on_demand(graph: Graph) -> list[int]:
    """The order given, but what adds bytes runs only when something that does not needs it."""
    order, ran = [], 0
    adds = []
    for index in range(len(graph.tasks)):
        _, live = graph.step(graph.ancestors[index] & ~(1 << index), 0, index)
        adds.append(live > 0)
    for index in [*(i for i, grows in enumerate(adds) if not grows), *range(len(adds))]:
        for needed in members(graph.ancestors[index] & ~ran):
            order.append(needed)
            ran |= 1 << needed
    return order


def _lowered_beside(
    graph: Graph, order: list[int], peak_at: int, enough: int, effort: int
) -> list[int]:
    """`order` with the least peaks found before and after `peak_at`, then beside those, ...

    enough: parts whose peak is no higher stay as they are.
    """
    parts = [(0, peak_at), (peak_at + 1, len(order))]
    while parts:
        first, last = parts.pop()
        if first < last and max(graph.profile(order)[first:last]) > enough:
            part, tasks = graph.window(order, first, last)
            lowered, _ = _lowered(part, [tasks.index(t) for t in order[first:last]], effort)
            order = [*order[:first], *(tasks[t] for t in lowered), *order[last:]]
            peak_at = first + _peak(part, lowered)[1][0]
            parts += [(first, peak_at), (peak_at + 1, last)]
    return order


def _lowered(graph: Graph, order: list[int], effort: int) -> tuple[list[int], int]:
    """(the order with the least peak found, a bound of all): the order given, or from `order`."""
    order = min(sorted(order), order, key=lambda tasks: _peak(graph, tasks)[0])
    bound = graph.start_bytes
    for width in (*(w for w in _WIDTHS if w < len(order)), len(order)):
        lowered: list[int] | None = order
        while lowered:
            order = lowered
            peak, at = _peak(graph, order)
            bound = max(bound, *(graph.floor(order[position]) for position in at))
            if bound == peak:
                return order, bound
            first = min(max(0, at[0] - width // 2), len(order) - width)
            lowered, level = _lowered_within(graph, order, first, first + width, effort)
        if width == len(order):
            bound = max(bound, level)
    return order, bound


def _lowered_within(
    graph: Graph, order: list[int], first: int, last: int, effort: int
) -> tuple[list[int] | None, int]:
    """(`order` with a lower peak in order[first:last] if found, a bound of that peak)."""
    window, tasks = graph.window(order, first, last)
    current = [tasks.index(task) for task in order[first:last]]
    peak, at = _peak(window, current)
    level = max(window.floor(current[position]) for position in at)
    found, bound = least_peak(window, level, peak, effort)
    for loose in ((bound + peak) // 2, peak - 1):  # it gave up: not the least, but less
        found = found or least_peak(window, max(bound, loose), peak, effort)[0]
    if not found:
        return None, bound
    return [*order[:first], *(tasks[task] for task in found), *order[last:]], bound


def _least_peak_among(graph: Graph, tasks: Collection[int], ceiling: int) -> int:
    """The least peak of `tasks`, at most `ceiling`, if all others run when that is best for it."""
    among = set_of(tasks)
    peaks = {among: 0}

    def peak_after(ran: int) -> int:
        if ran not in peaks:
            peaks[ran] = ceiling
            for task in members(among & ~ran):
                others = among & ~ran & ~(1 << task)
                if not graph.ancestors[task] & others:
                    bytes_now = graph.floor(task, ran, others)
                    if bytes_now < peaks[ran]:
                        rest = peak_after(ran | 1 << task)
                        peaks[ran] = min(peaks[ran], max(bytes_now, rest))
        return peaks[ran]

    return peak_after(0)


def _peak(graph: Graph, order: Sequence[int]) -> tuple[int, list[int]]:
    """(the peak, the positions at which it is reached)."""
    profile = graph.profile(order)
    peak = max(profile)
    return peak, [position for position, bytes_now in enumerate(profile) if bytes_now == peak]
