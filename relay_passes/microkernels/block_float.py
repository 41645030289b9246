"""odt_block_float.h: blocks of int16 codes that share an exponent, and float32 results of them."""

from __future__ import annotations

from .dot import PACKING
from .epilogue import is_zero
from .nest import check
from .record import PLANES, RESULTS, ROW_SUMS, ROWS, record

HEADER = "odt_block_float.h"
_IN_PLANES, _IN_ROWS = "float32 x[k*stride + p]", "float32 x[p*stride + k]"
_SCALED = f"({_IN_PLANES} * float32 scale[k])"  # without scales they are a null pointer
_MASK = "bool mask[r*stride + q]"


def _scale(solution) -> None:
    check(solution.numbers["stride"] >= solution.numbers["P"], "its rows are no neighbours")
    if "scale" not in solution.accesses:
        solution.numbers["scale"] = 0


record(
    "odt_pack_planes(columns, x, stride, scale, factor, P, K)",
    *(HEADER, PLANES),
    f"columns{{p*K + k}} = odt_block_code({_IN_PLANES}, float32 factor{{p}})",
    f"columns{{p*K + k}} = odt_block_code({_SCALED}, float32 factor{{p}})",
    **PACKING,
    beside=_scale,
)
record(
    "odt_pack_rows_f32(columns, x, stride, factor, P, K)",
    *(HEADER, ROWS),
    f"columns{{p*K + k}} = odt_block_code({_IN_ROWS}, float32 factor{{p}})",
    **PACKING,
)
record(
    "odt_peak_planes(peak, x, stride, scale, P, K)",
    *(HEADER, PLANES),
    f"peak{{p}} = odt_peak(own, {_IN_PLANES})",
    f"peak{{p}} = odt_peak(own, {_SCALED})",
    beside=_scale,
)
record(
    "odt_peak_rows(peak, x, stride, P, K)",
    *(HEADER, ROWS, f"peak{{p}} = odt_peak(own, {_IN_ROWS})"),
)
record(
    "odt_mask_planes(out, x, stride, mask, P, K)",
    *(HEADER, PLANES),
    f"out{{k*P + p}} = select(bool mask[k*stride + p], {_IN_PLANES}, 0)",
)


def _one_unit_each(solution) -> None:
    check(solution.numbers["each"] <= 1, "its units are no neighbours")


record(
    "odt_real_tile_masked(out, stride, acc, unit, each, mask, R, Q)",
    *(HEADER, RESULTS),
    f"out[r*stride + q] = select({_MASK}, odt_real(int32 acc{{r*Q + q}}, float32 unit[q*each]), 0)",
    beside=_one_unit_each,
)


def _one_code_each(solution) -> None:
    nest, index = solution.nest, solution.nest.index(solution.read["index"])
    out = solution.linears["out"]
    bases = out.base, solution.linears["code"].base, index.base
    same = index.of == out.of and all(is_zero(base - out.base) for base in bases)
    check(same, "its codes are not where it stores")
    still = all(nest.is_still(solution.read[name]) for name in ("rate", "seed"))
    check(still and int(solution.read["limit"]) == 127, "its rate, seed or limit changes")
    check(solution.numbers["R"] == 1 or solution.numbers["step"] == 1, "its rows are no channels")
    solution.numbers["index"] = index.base


record(
    "odt_update_tile(out, code, stride, acc, unit, rate, inverse, seed, index, R, Q)",
    *(HEADER, RESULTS),
    "out[r*stride + q] = odt_update_code(int8 code[r*stride + q], "
    "(odt_real(int32 acc{r*Q + q}, float32 unit[r*step]) * "
    "(float32 rate * float32 inverse[r*step])), number limit, uint32 seed, number index)",
    beside=_one_code_each,
    watches=True,
)
record(
    "odt_sum_rows(out, x, stride, P, K)",
    *(HEADER, ROW_SUMS),
    f"total = 0; total = (own + {_IN_ROWS}); out[p] = float32 total",
)
record(
    "odt_sum_rows_masked(out, x, stride, mask, P, K)",
    *(HEADER, ROW_SUMS),
    f"total = 0; total = (own + select(bool mask[p*stride + k], {_IN_ROWS}, 0)); "
    "out[p] = float32 total",
)
