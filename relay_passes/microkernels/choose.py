"""Which microkernel each nest of a schedule is for, as an annotation of its loops.

All that decides is known here: the stages, what their blocks compute, how operands are read, and
the sizes of tiles. `SelectMicrokernels` makes the calls when `InPlace` has read the loops.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

from ..blocks import axis_values, names_in, spatial_axes
from ..loops import analyzer_of
from ..ops.staging import COLUMNS, FILTERS, GATHERED, NO_MICROKERNEL, PEAK, PLANE, TAPS, WIDENED
from ..tir import SBlockRV, Schedule, tirx
from .form import form_of, is_product
from .grid import even, grid_in, numbers_on
from .nest import Access, Linear, Unfit, buffer_of, check, is_dense
from .record import MARK, chosen
from .window import Window, check_image, window
from .window_phases import check_codes


def annotate_tiles(schedule: Schedule, results: Sequence[SBlockRV]) -> str | None:
    """Annotate a kernel of tiles (see `tiled`); why its sums stay plain loops, if they do.

    results : its blocks behind the accumulation, in their order.
    """
    nests = {name: _Nest(schedule, schedule.get_sblock(name)) for name in names_in(schedule)}
    sums, reason = None, None
    try:
        sums = _sums(nests["acc_update"], nests.get(COLUMNS), nests.get(PLANE))
    except Unfit as unfit:
        reason = str(unfit)
    choices = {
        "acc_update": lambda _: sums,
        "acc_init": _start,
        f"{PEAK}_init": _start,
        f"{PEAK}_update": lambda nest: _staged(nest, nest.along(nest.spatial)),
        PLANE: _plane,
        TAPS: lambda nest: _taps(nest, sums),
        GATHERED: _planes,
    }
    taps = len(nests["acc_update"].axes) - nests["acc_update"].spatial
    choices |= dict.fromkeys((COLUMNS, FILTERS, WIDENED), lambda nest: _matrix(nest, taps, sums))
    for name in choices.keys() & nests.keys():
        nests[name].mark(choices[name](nests[name]))
    annotate_results(schedule, results, "results of sums", most_loops=2)
    return reason


def is_centred(schedule: Schedule, stage: str) -> bool:
    """Whether a stage subtracts a zero point, which no microkernel does that reads codes."""
    form = form_of([schedule.get(schedule.get_sblock(stage)).body])
    return any(operand.addend for operand in form.operands)


def annotate_results(
    schedule: Schedule, blocks: Sequence[SBlockRV], role: str, most_loops: int
) -> None:
    """Annotate the nest of blocks that make results; most_loops : that it may have."""
    nest = _Nest(schedule, *blocks)
    if 0 < len(nest.loops) <= most_loops:
        nest.mark(chosen(role, nest.form.text))


def annotate_sum(schedule: Schedule, start: SBlockRV, step: SBlockRV) -> str | None:
    """Annotate a reduction for a microkernel; why there is none, if it sums products."""
    added = _Nest(schedule, step)
    if is_product(added.form.text):
        unknown = f"no microkernel for this operator in {added.dtype}"
        return str(added.block.annotations.get(NO_MICROKERNEL, unknown))
    try:
        reads = [added.linear(each) for each in added.form.loads]
    except Unfit:
        return None
    if is_dense(added.loops, *reads):
        blocks = [start, step, *schedule.get_consumers(step)]
        annotate_results(schedule, blocks, "sums of rows", most_loops=1)
    return None


def annotate_staged(schedule: Schedule, block: SBlockRV) -> None:
    """Annotate a block that computes a part of an operand, as it is read."""
    nest = _Nest(schedule, block)
    nest.mark(_planes(nest))


class _Nest:
    """Blocks where the schedule put them, and the loops that hold nothing else.

    Loops of extent 1 are left out, as they are when loops are lowered.
    """

    def __init__(self, schedule: Schedule, *blocks: SBlockRV) -> None:
        self.schedule, self.first = schedule, blocks[0]
        self.block = schedule.get(self.first)
        bodies = [schedule.get(block).body for block in blocks]
        stores = [store for body in bodies for store in getattr(body, "seq", [body])]
        self.form = form_of(stores, will_be_cut=True)
        self.around = {schedule.get(loop): loop for loop in schedule.get_loops(self.first)}
        names = {schedule.get(block).name_hint for block in blocks}
        inside = {loop: {*names_in(schedule, handle)} for loop, handle in self.around.items()}
        self.loops = [loop for loop in inside if int(loop.extent) > 1 and inside[loop] <= names]

    def mark(self, name: str | None) -> None:
        if name is not None:
            head = self.around[self.loops[0]] if self.loops else self.first
            self.schedule.annotate(head, MARK, name)

    @property
    def dtype(self) -> str:
        return str(self.block.writes[0].source.ty.dtype)

    @property
    def spatial(self) -> int:
        """How many axes are not summed over; they are the first ones."""
        return len(spatial_axes(self.block))

    @cached_property
    def axes(self) -> dict[tirx.Var, tirx.Expr]:
        """What each axis stands for."""
        return axis_values(self.schedule, self.first)

    def along(self, first: int, end: int | None = None) -> list[tirx.For]:
        """The loops of the axes from the first one up to the end."""
        values = [*self.axes.values()][first:end]
        used = {var for value in values for var in tirx.analysis.undefined_vars(value)}
        return [loop for loop in self.loops if loop.loop_var in used]

    @cached_property
    def simplify(self) -> Callable[[tirx.Expr], tirx.Expr]:
        """Of an expression of axes: one of loops."""
        analyzer = analyzer_of(self.around)
        for axis, value in self.axes.items():
            analyzer.bind(axis, value)
        return analyzer.simplify

    @property
    def conditions(self) -> list[tirx.Expr]:
        """Of loops; those that always hold are none."""
        simplified = map(self.simplify, self.form.conditions)
        return [test for test in simplified if not (isinstance(test, tirx.IntImm) and int(test))]

    def index(self, access: Access, pitch: int | None = None) -> tirx.Expr:
        """Of a load in its buffer; pitch : from row to row, if not as its shape says."""
        shape = [int(n) for n in buffer_of(access).ty.shape]
        index = 0
        if shape and pitch:
            shape[-1] = pitch
        for extent, at in zip(shape, access.indices, strict=True):
            index = index * extent + (at if extent > 1 else 0)
        return self.simplify(index)

    def linear(self, access: Access, pitch: int | None = None) -> Linear:
        return Linear(self.index(access, pitch), self.loops)


def _start(nest: _Nest) -> str | None:
    return chosen("start of sums", nest.form.text) if nest.loops else None


def _matrix(nest: _Nest, taps: int, sums: str | None) -> str | None:
    """For columns, filters and what they are made of; `taps` axes are summed over.

    Where a microkernel sums them, int16 matrices are arranged row by row; others lie as they are
    computed, tap by tap.
    """
    if nest.dtype != "int16":
        return _planes(nest)
    packing = _staged(nest, nest.along(-taps))
    return sums and (packing or "odt_column")


def _planes(nest: _Nest) -> str | None:
    """For an operand whose last axis is its rows."""
    return _staged(nest, nest.along(0, -1)) if nest.loops else None


def _staged(nest: _Nest, taps: list[tirx.For]) -> str | None:
    """By how rows and taps of the operand are read; taps : its loops."""
    rows = [loop for loop in nest.loops if loop not in taps]
    reads = nest.form.loads
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


def _sums(acc: _Nest, columns: _Nest | None, plane: _Nest | None) -> str:
    """For the accumulation; raises Unfit."""
    if plane is None:
        role = "sums over columns"
        _check_columns(acc, columns)
    else:
        read = acc.form.loads[0]
        x = acc.linear(read, pitch=even(int(buffer_of(read).ty.shape[-1])))
        taps = acc.along(acc.spatial)
        results = [loop for loop in acc.loops if loop not in taps]
        walks = ([(int(loop.extent), x.of[loop]) for loop in part] for part in (taps, results))
        phases = _meets_phases(plane, acc, window(*walks))
        role = "sums of phases" if phases else "sums over a plane"
    name = chosen(role, acc.form.text)
    if name is None:
        raise Unfit(f"no microkernel computes {acc.form.text}")
    return name


def _check_columns(acc: _Nest, columns: _Nest | None) -> None:
    """Whether columns, or what is read in their place, are a matrix for each tile of outputs."""
    x = acc.linear(acc.form.loads[0])
    rows, taps = acc.along(acc.spatial - 1, acc.spatial), acc.along(acc.spatial)
    outputs = [loop for loop in acc.loops if loop not in (*rows, *taps)]
    check(not any(x.of[loop] for loop in outputs), "a tile of outputs spans groups")
    if acc.dtype == "float32":
        planes = is_dense(rows, x) and is_dense(taps, x, step=x.of[taps[-1]] if taps else 1)
        check(planes, "an operand is not read plane by plane")
    else:
        assert columns is not None, "int16 columns are staged always"
        inside = {loop.loop_var for loop in acc.around if loop not in columns.around}
        moved = inside & set(tirx.analysis.undefined_vars(x.base))
        check(not moved, "columns of several groups are staged at once")


def _meets_phases(plane: _Nest, acc: _Nest, sizes: Window) -> bool:
    """Whether a plane's codes are no neighbours, and a tile of odt_window_phases can read them."""
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
        x = numbers_on(grid, nest.loops, nest.index(nest.form.loads[0]))
        check_image(grid, x) if name == "odt_widen_plane" else check_codes(x)
    except Unfit:
        return None
    return name


def _taps(nest: _Nest, sums: str | None) -> str | None:
    """For the filter of a window."""
    w = nest.linear(nest.form.loads[0])
    turned = "turned taps" if any(w.of[loop] < 0 for loop in nest.loops) else "taps"
    roles = {"odt_window": turned, "odt_window_phases": "taps of phases"}
    return chosen(roles.get(sums or "", ""), nest.form.text)
