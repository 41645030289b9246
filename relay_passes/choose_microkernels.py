"""Which microkernel each nest of a schedule is for, as an annotation of its loops.

All that decides is known here: the stages, what their blocks compute, how operands are read, and
the sizes of tiles. `SelectMicrokernels` makes the calls when `InPlace` has read the loops.
"""

from __future__ import annotations

from functools import cached_property

from tvm import sym, tirx
from tvm.ir import Range

from .loop_cuts import axis_values
from .microkernels.form import form_of
from .microkernels.grid import even, grid_in, numbers_on
from .microkernels.nest import Linear, Unfit, check, is_dense
from .microkernels.record import MARK, chosen
from .microkernels.window import Window, check_image, window
from .microkernels.window_phases import check_codes
from .ops import staging

_REDUCED = 2  # iter_type of an axis that is summed over


def annotate_tiles(schedule, results) -> str | None:
    """Annotate a kernel of tiles (see `schedule_tiles`); why its sums stay plain loops, if they do.

    results : its blocks behind the accumulation, in their order.
    """
    nests = {schedule.get(b).name_hint: _Nest(schedule, b) for b in _blocks(schedule)}
    acc, reason = nests["acc_update"], None
    try:
        sums = _sums(nests)
        check(sums is not None, f"no microkernel computes {acc.form.text}")
        acc.mark(sums)
    except Unfit as unfit:
        sums, reason = None, str(unfit)
    for name in ("acc_init", f"{staging.PEAK}_init"):
        if name in nests and nests[name].loops:
            nests[name].mark(chosen("start of sums", nests[name].form.text))
    taps = sum(acc.reduced)
    for name in (staging.COLUMNS, staging.FILTERS, staging.WIDENED, staging.GATHERED):
        if name in nests and (sums or nests[name].dtype != "int16"):
            nests[name].mark(_matrix(nests[name], taps))
    peak = nests.get(f"{staging.PEAK}_update")
    if peak is not None:
        peak.mark(_staged(peak, peak.reduced))
    if staging.PLANE in nests:
        nests[staging.PLANE].mark(_plane(nests[staging.PLANE]))
    if staging.TAPS in nests and sums in _TAPS:
        nests[staging.TAPS].mark(_taps(nests[staging.TAPS], sums))
    annotate_results(schedule, results, "results of sums", most_loops=2)
    return reason


def annotate_results(schedule, blocks, role: str, most_loops: int) -> None:
    """Annotate the nest of blocks that make results; most_loops : that it may have."""
    nest = _Nest(schedule, *blocks)
    if 0 < len(nest.loops) <= most_loops:
        nest.mark(chosen(role, nest.form.text))


def annotate_staged(schedule, block) -> None:
    """Annotate a block that computes a part of an operand, as it is read."""
    nest = _Nest(schedule, block)
    nest.mark(_staged(nest, _all_but_last(nest)))


class _Nest:
    """Blocks where the schedule put them, and the loops that hold nothing else."""

    def __init__(self, schedule, *blocks):
        self.schedule, self.first = schedule, blocks[0]
        self.block = schedule.get(self.first)
        bodies = [schedule.get(block).body for block in blocks]
        self.form = form_of([store for body in bodies for store in getattr(body, "seq", [body])])
        around = schedule.get_loops(self.first)
        self.all_loops = {schedule.get(loop): loop for loop in around}
        names = {schedule.get(block).name_hint for block in blocks}
        own = [loop for loop in self.all_loops if _names_in(loop) <= names]
        self.loops = [loop for loop in own if int(loop.extent) > 1]

    def mark(self, name: str | None) -> None:
        if name is not None:
            head = self.all_loops[self.loops[0]] if self.loops else self.first
            self.schedule.annotate(head, MARK, name)

    @property
    def dtype(self) -> str:
        return str(self.block.writes[0].source.ty.dtype)

    @property
    def reduced(self) -> list[bool]:
        """Which axes are summed over; they are the last ones."""
        return [int(axis.iter_type) == _REDUCED for axis in self.block.iter_vars]

    @cached_property
    def axes(self) -> dict:
        """What each axis stands for."""
        return axis_values(self.schedule, self.first)

    @cached_property
    def simplify(self):
        """Of an expression of axes: one of loops."""
        analyzer = sym.Analyzer()
        for loop in self.all_loops:
            analyzer.bind(loop.loop_var, Range.from_min_extent(loop.min, loop.extent))
        for axis, value in self.axes.items():
            analyzer.bind(axis, value)
        return analyzer.simplify

    @property
    def conditions(self) -> list:
        """Of loops; those that always hold are none."""
        simplified = map(self.simplify, self.form.conditions)
        return [test for test in simplified if not isinstance(test, tirx.IntImm)]

    def index(self, access, pitch: int | None = None):
        """Of a load or a store in its buffer; pitch : of rows, if not as its shape says."""
        buffer = access.buffer if isinstance(access, tirx.BufferStore) else access.source
        *shape, columns = (int(n) for n in buffer.ty.shape)
        index = 0
        for extent, at in zip([*shape, pitch or columns], access.indices, strict=True):
            index = index * extent + (at if extent > 1 else 0)
        return self.simplify(index)

    def linear(self, access, pitch: int | None = None) -> Linear:
        return Linear(self.index(access, pitch), self.loops)

    def along(self, chosen_axes) -> list:
        """The loops of some axes, a boolean for each."""
        pairs = zip(chosen_axes, self.axes.values(), strict=True)
        used = {v for wanted, value in pairs if wanted for v in tirx.analysis.undefined_vars(value)}
        return [loop for loop in self.loops if loop.loop_var in used]


def _names_in(node) -> set[str]:
    """Of the blocks in a statement."""
    if hasattr(node, "block"):
        return {node.block.name_hint}
    children = node.seq if hasattr(node, "seq") else [node.body]
    return {name for each in children for name in _names_in(each)}


def _blocks(schedule) -> list:
    return schedule.get_child_blocks(schedule.get_sblock("root"))


def _all_but_last(nest: _Nest) -> list[bool]:
    return [*[True] * (len(nest.block.iter_vars) - 1), False]


def _matrix(nest: _Nest, taps: int) -> str | None:
    """For columns, filters and what they are made of; `taps` axes are summed over.

    int16 matrices lie in an order of their own, row by row; the others as they are computed, tap
    by tap.
    """
    axes = len(nest.block.iter_vars)
    if nest.dtype != "int16":
        return _staged(nest, _all_but_last(nest)) if nest.loops else None
    return _staged(nest, [axis >= axes - taps for axis in range(axes)]) or "odt_column"


def _staged(nest: _Nest, tap_axes) -> str | None:
    """By how rows and taps of the operand are read."""
    taps = nest.along(tap_axes)
    rows = [loop for loop in nest.loops if loop not in taps]
    reads = [operand.load for operand in nest.form.operands if operand.load is not None]
    if "select" in nest.form.text:
        reads = reads[1:]  # behind the mask
    try:
        x, *scales = (nest.linear(load) for load in reads[: 1 + (" * " in nest.form.text)])
    except (Unfit, ValueError):
        return None
    step = x.of[taps[-1]] if taps else 0
    if is_dense(rows, x) and is_dense(taps, x, step=step) and is_dense(taps, *scales):
        return chosen("columns of planes", nest.form.text)
    if len(rows) == 1 and is_dense(taps, x):
        return chosen("columns of rows", nest.form.text)
    return None


def _sums(nests) -> str:
    """For the accumulation; raises Unfit."""
    acc = nests["acc_update"]
    operand = acc.form.operands[0].load
    x = acc.linear(operand, even(int(operand.source.ty.shape[-1])) if staging.PLANE in nests else 0)
    taps = acc.along(acc.reduced)
    pixels = [loop for loop in acc.loops if loop not in taps]
    if staging.PLANE not in nests:
        last = acc.reduced.count(False) - 1
        rows = acc.along([axis == last for axis in range(len(acc.reduced))])
        outputs = [loop for loop in pixels if loop not in rows]
        check(not any(x.of[loop] for loop in outputs), "a tile of outputs spans groups")
        planes = is_dense(rows, x) and is_dense(taps, x, step=x.of[taps[-1]] if taps else 1)
        check(acc.dtype != "float32" or planes, "its operand is not read plane by plane")
        return chosen("sums over columns", acc.form.text)
    sizes = window(*([(int(loop.extent), x.of[loop]) for loop in part] for part in (taps, pixels)))
    phases = _meets_phases(nests[staging.PLANE], acc, sizes)
    return chosen("sums of phases" if phases else "sums over a plane", acc.form.text)


def _meets_phases(plane: _Nest, acc: _Nest, sizes: Window) -> bool:
    """Whether the plane's codes are no neighbours, and a tile of odt_window_phases can read them."""
    if _plane(plane) != "odt_block_plane":
        return False
    grid = grid_in(plane.loops, plane.conditions)
    columns = int(acc.block.writes[0].source.ty.shape[-1])
    alike = columns == sizes.columns or sizes.columns % (2 * grid.across) == 0
    apart = grid.down * grid.across > 1 and sizes.stride == 1
    return apart and alike and grid.holds(sizes.height, sizes.width, sizes.columns)


def _plane(nest: _Nest) -> str | None:
    name = chosen("plane", nest.form.text)
    try:
        grid = grid_in(nest.loops, nest.conditions)
        x = numbers_on(grid, nest.loops, nest.index(nest.form.operands[0].load))
        check_image(grid, x) if name == "odt_widen_plane" else check_codes(x)
    except Unfit:
        return None
    return name


_TAPS = {
    "odt_window": ("taps", "turned taps"),
    "odt_window_phases": ("taps of phases", "taps of phases"),
}


def _taps(nest: _Nest, sums: str) -> str | None:
    """For the filter of a window."""
    w = nest.linear(nest.form.operands[0].load)
    turned = any(w.of[loop] < 0 for loop in nest.loops)
    return chosen(_TAPS[sums][turned], nest.form.text)
