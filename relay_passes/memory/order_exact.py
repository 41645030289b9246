"""Which bytes are live in an order of tasks, the least that any order needs, and an exact search.

Which tensors are live depends only on the set of tasks that have run, not on their order. Such a
set is an int, one bit a task.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from heapq import heappop, heappush
from typing import Any, TypeAlias, TypeVar

_RAN, _TO_RUN, _ENDLESS = -1, -2, 1 << 62

Pair = tuple[str, str, int, int]  # read, written, bytes that they share, other readers
Move = tuple[int, int, tuple[tuple[int, int], ...], tuple[Pair, ...]]
Path: TypeAlias = "tuple[Path, int] | None"  # the last task, behind those before it
State = tuple[int, int, tuple[int, ...], Path]  # what ran, live bytes, what may run, how
Node: TypeAlias = int | str  # of a flow: a task, or a tensor
Rooms = dict[Node, dict[Node, int]]  # what may flow from node to node
AnyPair = TypeVar("AnyPair", bound=tuple[Any, ...])


@dataclass(frozen=True)
class Task:
    """One kernel. Tensors are named; a name that `sizes` lacks takes no bytes (parameters).

    in_place: (read, written) pairs, of which `given_away` chooses: `written` takes the bytes of
        `read`, as many as both have, if `read` is not a result and no task reads it later.
    after: tasks that must run before, besides the writers of what it reads.
    """

    reads: tuple[str, ...]
    writes: tuple[str, ...]
    workspace_bytes: int = 0
    in_place: tuple[tuple[str, str], ...] = ()
    after: tuple[int, ...] = ()


@dataclass(frozen=True)
class Graph:
    """Tasks in a valid order; `results` stay live to the end, `base_bytes` are live throughout.

    A tensor is live from its writer, or the start, to its last reader; at its writer if unread.
    """

    tasks: tuple[Task, ...]
    sizes: Mapping[str, int]
    results: frozenset[str]
    base_bytes: int = 0

    def __post_init__(self) -> None:
        for index, task in enumerate(self.tasks):
            if self.before[index] >> index:
                other = self.before[index].bit_length() - 1
                raise ValueError(f"order search: task {index} needs task {other}, not given before")
            for read, written in task.in_place:
                if read not in task.reads or written not in task.writes:
                    raise ValueError(
                        f'order search: task {index} cannot put "{written}" in place of "{read}"'
                    )

    @cached_property
    def writer(self) -> dict[str, int]:
        """Tensor -> the task that writes it."""
        writer: dict[str, int] = {}
        for index, task in enumerate(self.tasks):
            for name in task.writes:
                if name in writer:
                    raise ValueError(
                        f'order search: tasks {writer[name]} and {index} both write "{name}"'
                    )
                writer[name] = index
        return writer

    @cached_property
    def readers(self) -> dict[str, int]:
        """Tensor that takes bytes -> the tasks that read it."""
        names = [*(n for task in self.tasks for n in task.reads), *self.writer, *self.results]
        readers = {name: 0 for name in names if name in self.sizes}
        for index, task in enumerate(self.tasks):
            for name in task.reads:
                if name in readers:
                    readers[name] |= 1 << index
        return readers

    @cached_property
    def before(self) -> list[int]:
        """For each task those that it needs."""
        return [
            set_of((*task.after, *(self.writer[n] for n in task.reads if n in self.writer)))
            for task in self.tasks
        ]

    @cached_property
    def needed_by(self) -> list[list[int]]:
        needed_by: list[list[int]] = [[] for _ in self.tasks]
        for task, needed in enumerate(self.before):
            for other in members(needed):
                needed_by[other].append(task)
        return needed_by

    @cached_property
    def ancestors(self) -> list[int]:
        """For each task itself and all that run before it in every order."""
        ancestors = []
        for task, needed in enumerate(self.before):
            ancestors.append(1 << task)
            for other in members(needed):
                ancestors[task] |= ancestors[other]
        return ancestors

    @cached_property
    def descendants(self) -> list[int]:
        """For each task itself and all that run after it in every order."""
        descendants = [1 << task for task in range(len(self.tasks))]
        for task in reversed(range(len(self.tasks))):
            for other in self.needed_by[task]:
                descendants[task] |= descendants[other]
        return descendants

    @cached_property
    def start_bytes(self) -> int:
        """Live before the first task."""
        return self.base_bytes + sum(
            self.sizes[name]
            for name, readers in self.readers.items()
            if name not in self.writer and (readers or name in self.results)
        )

    @cached_property
    def moves(self) -> list[Move]:
        """For each task: the bytes it adds; those that stay after it; (bytes, other readers) of
        what it may free; (read, written, bytes, other readers) of what may share a place."""
        return [self._move(1 << index, task) for index, task in enumerate(self.tasks)]

    def _move(self, bit: int, task: Task) -> Move:
        sizes, readers = self.sizes, self.readers
        written = [name for name in task.writes if name in readers]
        stays = [name for name in written if readers[name] or name in self.results]
        frees = {n: readers[n] & ~bit for n in task.reads if n in readers and n not in self.results}
        return (
            sum(sizes[name] for name in written) + task.workspace_bytes,
            sum(sizes[name] for name in stays),
            tuple((sizes[name], others) for name, others in frees.items()),
            tuple(
                (read, name, min(sizes[read], sizes[name]), frees[read])
                for read, name in task.in_place
                if read in frees and name in readers
            ),
        )

    def step(self, ran: int, live: int, task: int) -> tuple[int, int]:
        """(bytes while `task` runs, bytes live after it) where `live` bytes are before it."""
        adds, stays, frees, pairs = self.moves[task]
        bytes_now = live + adds - (_saved(pairs, ran) if pairs else 0)
        for size, others in frees:
            if others & ran == others:
                live -= size
        return bytes_now, live + stays

    def profile(self, order: Iterable[int]) -> list[int]:
        """The bytes at each task of `order`."""
        ran, live, profile = 0, self.start_bytes, []
        for task in order:
            bytes_now, live = self.step(ran, live, task)
            profile.append(bytes_now)
            ran |= 1 << task
        return profile

    def window(self, order: Sequence[int], first: int, last: int) -> tuple[Graph, list[int]]:
        """order[first:last] as a problem of its own while the others stay, and its tasks."""
        inside = sorted(order[first:last])
        here, ran, to_run = set_of(inside), set_of(order[:first]), set_of(order[last:])
        base, kept = self.base_bytes, set()
        for name, readers in self.readers.items():
            if name in self.results or readers & to_run:
                writer = 1 << self.writer[name] if name in self.writer else 0
                if (readers | writer) & here:
                    kept.add(name)
                elif not writer or writer & ran:
                    base += self.sizes[name]
        number = {task: new for new, task in enumerate(inside)}
        tasks = tuple(
            replace(task, after=tuple(number[a] for a in task.after if a in number))
            for task in map(self.tasks.__getitem__, inside)
        )
        return Graph(tasks, self.sizes, frozenset(kept), base), inside

    def floor(self, task: int, ran: int = 0, to_run: int = 0) -> int:
        """The least bytes at `task` in any order where `ran` run before it, `to_run` after it.

        The least that can be live is a minimum cut between what has run and what has not: a tensor
        is cut if its writer has run and a reader has not. Of pairs in place the most are assumed.
        """
        to_run = self.descendants[task] | union(self.descendants[t] for t in members(to_run))
        ran = self.ancestors[task] & ~(1 << task) | union(self.ancestors[t] for t in members(ran))
        free = (1 << len(self.tasks)) - 1 & ~ran & ~to_run
        rooms: Rooms = {node: {} for node in (_RAN, _TO_RUN)}
        for other in members(free):
            rooms[other] = dict.fromkeys(members(self.before[other] & free), _ENDLESS)
        for name, readers in self.readers.items():
            writer = self.writer.get(name, _RAN)
            if writer == _RAN or not to_run >> writer & 1:
                rooms[writer if writer in rooms else _RAN][name] = self.sizes[name]
                ends = readers & to_run or name in self.results
                rooms[name] = dict.fromkeys(
                    [_TO_RUN] if ends else members(readers & free), _ENDLESS
                )
        adds, _, _, pairs = self.moves[task]
        return self.base_bytes + _max_flow(rooms) + adds - _saved(pairs, ~to_run)


def least_peak(graph: Graph, level: int, ceiling: int, effort: int) -> tuple[list[int] | None, int]:
    """(the order of least peak, that peak) if there is one below `ceiling`; else (None, a bound).

    All sets of tasks that can be reached within `level` bytes are visited, those with few bytes
    live first, before `level` is raised to what the cheapest step to another set takes. So the
    number returned is one that no peak is below, if no peak is below `level`. The search gives up
    after `effort` sets, with the level reached.
    """
    ready = tuple(task for task, needed in enumerate(graph.before) if not needed)
    stack: list[State] = [(0, graph.start_bytes, ready, None)]
    blocked: list[tuple[int, int, int, int, State]] = []
    seen: set[int] = set()
    while level < ceiling and (stack or blocked):
        if not stack:
            level, *_, state = heappop(blocked)
            stack.append(state)
        state = stack.pop()
        if state[0] in seen:
            continue
        if len(seen) > effort:
            return None, level
        seen.add(state[0])
        state = _run_safe(graph, state, level)
        ran, live, ready, path = state
        seen.add(ran)
        if not ready:
            return _tasks_of(path), level
        within = []
        for task in ready:
            bytes_now, after = graph.step(ran, live, task)
            if bytes_now < ceiling and ran | 1 << task not in seen:
                new = _run(graph, state, task, after)
                if bytes_now <= level:
                    within.append((after, bytes_now, task, new))
                else:
                    heappush(blocked, (bytes_now, after, len(seen), task, new))
        stack += [new for *_, new in sorted(within, key=lambda child: child[:3], reverse=True)]
    return None, ceiling


def _run_safe(
    graph: Graph, state: State, level: int, skipped: frozenset[int] | None = None
) -> State:
    """The state (ran, live, ready, path) after all that can run at once without loss.

    That is each task which keeps within `level` and leaves no more bytes live than before: all that
    run later find as few live as they would have. So is a task with others that it enables
    (`skipped` are those it does not), if together they leave no more.
    """
    while True:
        _, live, ready, _ = state
        for task in ready:
            if skipped is None or task not in skipped:
                bytes_now, after = graph.step(state[0], live, task)
                if bytes_now <= level:
                    new = _run(graph, state, task, after)
                    if after > live and skipped is None:
                        new = _run_safe(graph, new, level, frozenset(ready))
                    if new[1] <= live:
                        state = new
                        break
        else:
            return state


def _run(graph: Graph, state: State, task: int, live: int) -> State:
    ran, _, ready, path = state
    ran |= 1 << task
    enabled = [t for t in graph.needed_by[task] if graph.before[t] & ran == graph.before[t]]
    return ran, live, (*(t for t in ready if t != task), *enabled), (path, task)


def _tasks_of(path: Path) -> list[int]:
    tasks = []
    while path is not None:
        path, task = path
        tasks.append(task)
    return tasks[::-1]


def given_away(pairs: Sequence[AnyPair]) -> list[AnyPair]:
    """Of a task's pairs (read, written, bytes that they share, ...) those that do share a place.

    A tensor gives or takes one once; of all such choices one with the most bytes, and of those the
    one with the first pairs. So one more pair never means fewer bytes, on which bounds rest.

    pairs: only those where nobody needs what is read any more.
    """
    for index, pair in enumerate(pairs):
        others = [p for p in pairs[index + 1 :] if pair[0] in p[:2] or pair[1] in p[:2]]
        if others:
            rest = [p for p in pairs[index + 1 :] if p not in others]
            taken, left = [pair, *given_away(rest)], given_away(pairs[index + 1 :])
            return [*pairs[:index], *max(taken, left, key=_shared)]
    return list(pairs)


def _shared(pairs: Iterable[AnyPair]) -> int:
    return sum(pair[2] for pair in pairs)


def _saved(pairs: Iterable[Pair], ran: int) -> int:
    """The bytes of what is written in place where `ran` have run."""
    return _shared(given_away([p for p in pairs if p[3] & ran == p[3]]))


def _max_flow(rooms: Rooms) -> int:
    """The most that flows from _RAN to _TO_RUN through `rooms`, node -> node -> bytes."""
    total = 0
    while True:
        came_from: dict[Node, Node] = {_RAN: _RAN}
        queue: list[Node] = [_RAN]
        for node in queue:
            for other, room in rooms[node].items():
                if room and other not in came_from:
                    came_from[other] = node
                    queue.append(other)
        if _TO_RUN not in came_from:
            return total
        path: list[tuple[Node, Node]] = []
        node = _TO_RUN
        while node != _RAN:
            path.append((came_from[node], node))
            node = came_from[node]
        flow = min(rooms[one][other] for one, other in path)
        for one, other in path:
            rooms[one][other] -= flow
            rooms[other][one] = rooms[other].get(one, 0) + flow
        total += flow


def set_of(tasks: Iterable[int]) -> int:
    return union(1 << task for task in tasks)


def union(sets: Iterable[int]) -> int:
    total = 0
    for tasks in sets:
        total |= tasks
    return total


def members(tasks: int) -> Iterator[int]:
    while tasks:
        yield (tasks & -tasks).bit_length() - 1
        tasks &= tasks - 1
