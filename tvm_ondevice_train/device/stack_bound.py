"""The most stack that a bare-metal program can take, from the compiler's account of each function.

A project's Makefile has gcc write a call graph beside each object (-fcallgraph-info=su): the bytes
of every function's frame, and whom it calls. The bound is the deepest path through all of them:

- A call through a pointer may reach any function whose address the program takes (what the objects'
  relocations say), save in the caller's own file. Server, store, flash and file lie in files of
  their own, and none of them hands itself to the one below.
- What has no call graph, such as the C library and libgcc, is read from its machine code.
- A fault is reported on a fresh stack, so that path counts on its own, and no interrupt is ever
  enabled. Some cores push registers first, wherever the stack pointer stands.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from ..architectures import Architecture
from ..boards import board as find_board
from ..errors import OdtError
from ..manifest import read_manifest
from .build import build
from .machine_code import Function, function_symbols, functions_in, symbols_in

_TITLE = re.compile(r'graph: { title: "([^"]*)"')
_NODE = re.compile(r'node: { title: "([^"]+)" label: "[^"]*\\n(\d+) bytes \(([a-z,]+)\)')
_EDGE = re.compile(r'edge: { sourcename: "([^"]+)" targetname: "([^"]+)"')
_POINTER = "__indirect_call"  # gcc's name for whom a call through a pointer reaches
_KNOWN_SIZE = {"static", "dynamic,bounded"}  # kinds of frames
_ENTRY = "machine_start"


@dataclass(frozen=True)
class StackBound:
    """`size_bytes` in all, and the path that takes them: functions and the frame of each."""

    size_bytes: int
    path: tuple[tuple[str, int], ...]


@dataclass
class CallGraph:
    """Functions by name; "file:name" where only that file sees them.

    frames : bytes of each.
    files : where each is defined.
    calls : whom each calls.
    problems : why a frame has no bound, of those that have none.
    taken : those whose address is taken.
    """

    frames: dict[str, int] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    calls: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    problems: dict[str, str] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)


def stack_bound(directory: str | Path) -> StackBound:
    """Build the bare-metal project in `directory` and return what its stack takes at most.

    OdtError where that has no bound (recursion, a frame of variable size), and for a project of
    another platform, whose stack is not ours.
    """
    directory = Path(directory)
    manifest = read_manifest(directory)
    if manifest.platform != "baremetal":
        raise OdtError(
            f"stack: {directory} is a project for {manifest.platform}; only a bare-metal program "
            f"has a stack of its own"
        )
    program, board = build(directory), find_board(manifest.board)
    architecture, pushed = board.architecture, board.core.exception_bytes
    graph = _read_call_graphs(program.parent, architecture)
    _add_what_has_none(graph, program, architecture)
    main = _deepest(graph, _ENTRY)
    bounds = [StackBound(main.size_bytes + pushed, (*main.path, ("exception entry", pushed)))]
    handlers = (name for name in graph.frames if _bare(name) == architecture.fault_handler)
    bounds += [_deepest(graph, name) for name in handlers]
    return max(bounds, key=lambda bound: bound.size_bytes)


def _bare(name: str) -> str:
    return name.rsplit(":", 1)[-1]


def _read_call_graphs(directory: Path, architecture: Architecture) -> CallGraph:
    """The call graphs (.ci) below `directory`, and what the objects beside them add, as one."""
    paths = sorted(directory.rglob("*.ci"))
    if not paths:
        raise OdtError(
            f"stack: no call graphs in {directory}; compile the project again, and build it with "
            f"gcc 10 or newer"
        )
    graph = CallGraph()
    for path in paths:
        text, compiled = path.read_text(), path.with_suffix(".o")
        _read_call_graph(graph, text, compiled, architecture.machine_code.relocations)
    return graph


def _read_call_graph(graph: CallGraph, text: str, compiled: Path, jumps: Collection[int]) -> None:
    """Add one file. Functions that are defined twice, one of them weak, count as both."""
    title_line = _TITLE.match(text)
    assert title_line is not None, "gcc begins every call graph with it"
    source = title_line[1]
    seen_by_all, taken = _read_object(compiled, source, jumps)
    name_of = {f"{source}:{name}": name for name in seen_by_all}  # gcc's title of a weak function
    for title, size, kind in _NODE.findall(text):
        name = name_of.get(title, title)
        graph.frames[name] = max(int(size), graph.frames.get(name, 0))
        graph.files[name] = source
        if kind not in _KNOWN_SIZE:
            graph.problems[name] = "has a frame of variable size"
    for caller, callee in _EDGE.findall(text):
        graph.calls[name_of.get(caller, caller)].add(name_of.get(callee, callee))
    graph.taken |= taken


def _read_object(path: Path, source: str, jumps: Collection[int]) -> tuple[set[str], set[str]]:
    """The functions that an object defines for others, and those whose address it takes.

    The vector table counts as neither: only the core calls what is in it. Relocations of a number
    in `jumps` take no address.
    """
    from elftools.elf.elffile import ELFFile
    from elftools.elf.relocation import RelocationSection

    with open(path, "rb") as file:
        image = ELFFile(file)
        symbols = symbols_in(image)
        used = {
            relocation["r_info_sym"]
            for section in image.iter_sections()
            if isinstance(section, RelocationSection) and ".vectors" not in section.name
            for relocation in section.iter_relocations()
            if relocation["r_info_type"] not in jumps
        }
    is_local = [symbol["st_info"]["bind"] == "STB_LOCAL" for symbol in symbols]
    seen_by_all = {
        symbol.name
        for symbol, local in zip(symbols, is_local, strict=True)
        if symbol["st_info"]["type"] == "STT_FUNC" and not local
    }
    taken = {
        f"{source}:{symbols[index].name}" if is_local[index] else symbols[index].name
        for index in used
    }
    return seen_by_all, taken


def _add_what_has_none(graph: CallGraph, program: Path, architecture: Architecture) -> None:
    """Complete the graph with what only the linked program shows: libraries, and second names."""
    known: dict[str, set[str]] = defaultdict(set)
    at_address: dict[int, set[str]] = defaultdict(set)
    for name in graph.frames:
        known[_bare(name)].add(name)
    symbols = function_symbols(program)
    for address, name, _ in symbols:
        at_address[address] |= known.get(name, set())
    twins = {name: at_address[address] for address, name, _ in symbols}
    code = functions_in(program, architecture, known)

    waiting = {callee for callees in graph.calls.values() for callee in callees} | graph.taken
    while waiting:
        name = waiting.pop()
        if name in graph.frames or _bare(name) not in code:
            continue
        function = code[_bare(name)]
        if twins[_bare(name)]:  # two functions of equal code, of which gcc kept one
            function = Function(0, frozenset(map(_bare, twins[_bare(name)])), "")
        graph.frames[name] = function.frame_bytes
        graph.calls[name] = {n for callee in function.calls for n in known.get(callee, {callee})}
        if function.problem:
            graph.problems[name] = function.problem
        waiting |= graph.calls[name]


def _deepest(graph: CallGraph, entry: str) -> StackBound:
    """The deepest path from `entry` on."""
    done: dict[str, StackBound] = {}
    active: list[str] = []

    def visit(name: str) -> StackBound:
        if name in active:
            circle = ", ".join(map(_bare, [*active[active.index(name) :], name]))
            raise OdtError(f"stack: {circle} call each other, so their depth has no bound")
        if name not in done:
            active.append(name)
            below = max(map(visit, _callees(graph, name)), key=lambda b: b.size_bytes, default=None)
            active.pop()
            below = below or StackBound(0, ())
            own = (_bare(name), graph.frames[name])
            done[name] = StackBound(own[1] + below.size_bytes, (own, *below.path))
        return done[name]

    return visit(entry)


def _callees(graph: CallGraph, name: str) -> list[str]:
    """Whom `name` may call, through pointers too, in a fixed order."""
    if problem := graph.problems.get(name):
        raise OdtError(f"stack: {_bare(name)} {problem}, so its depth has no bound")
    callees = set(graph.calls.get(name, ()))
    if _POINTER in callees:
        own = graph.files[name]
        reached = (other for other in graph.taken if other in graph.frames)
        callees |= {other for other in reached if graph.files.get(other) != own}
    callees.discard(_POINTER)
    if unknown := sorted(callees - set(graph.frames)):
        raise OdtError(f"stack: {_bare(name)} calls {unknown[0]}, which the program does not have")
    return sorted(callees)
