"""odt_block_float.h: blocks of int16 codes that share an exponent, and float32 results of them."""

from __future__ import annotations

from tvm import sym

from ..tir import tirx
from .dot import PACKING
from .formula import Solution
from .nest import check
from .record import records

HEADER = "odt_block_float.h"


def _scale(solution: Solution) -> None:
    """Without scales they are a null pointer."""
    check(solution.numbers["stride"] >= solution.numbers["P"], "its rows overlap")
    if "scale" not in solution.accesses:
        solution.numbers["scale"] = 0


def _unit_each(solution: Solution) -> None:
    check(solution.numbers["each"] <= 1, "its units are no neighbours")


def _code_each(solution: Solution) -> None:
    nest, out = solution.nest, solution.linears["out"]
    index = nest.index(solution.read["index"])
    bases, equal = (solution.linears["code"].base, index.base), sym.Analyzer().can_prove_equal
    same = index.of == out.of and all(equal(base, out.base) for base in bases)
    check(same, "its codes are not where it stores")
    still = all(nest.is_still(solution.read[name]) for name in ("rate", "seed"))
    check(still and int(solution.read["limit"]) == 127, "its rate, seed or limit changes")
    check(solution.numbers["R"] == 1 or solution.numbers["step"] == 1, "its rows are no channels")
    solution.numbers["index"] = tirx.Cast("uint32", index.base)


records(
    HEADER,
    """
columns of planes: odt_pack_planes(columns, x, stride, scale, factor, P, K)
    columns{p*K + k} = odt_block_code(float32 x[k*stride + p], float32 factor{p})
    columns{p*K + k} = odt_block_code((float32 x[k*stride + p] * float32 scale[k]), \
float32 factor{p})

columns of rows: odt_pack_rows_f32(columns, x, stride, factor, P, K)
    columns{p*K + k} = odt_block_code(float32 x[p*stride + k], float32 factor{p})

columns of planes: odt_peak_planes(peak, x, stride, scale, P, K)
    peak{p} = odt_peak(own, float32 x[k*stride + p])
    peak{p} = odt_peak(own, (float32 x[k*stride + p] * float32 scale[k]))

columns of rows: odt_peak_rows(peak, x, stride, P, K)
    peak{p} = odt_peak(own, float32 x[p*stride + k])

columns of planes: odt_mask_planes(out, x, stride, mask, P, K)
    out{k*P + p} = select(bool mask[k*stride + p], float32 x[k*stride + p], 0)

results of sums: odt_real_tile_masked(out, stride, acc, unit, each, mask, R, Q)
    out[r*stride + q] = select(bool mask[r*stride + q], \
odt_real(int32 acc{r*Q + q}, float32 unit[q*each]), 0)

results of sums: odt_update_tile(\
out, code, stride, acc, unit, rate, inverse, seed, index, R, Q)
    out[r*stride + q] = odt_update_code(int8 code[r*stride + q], \
(odt_real(int32 acc{r*Q + q}, float32 unit[r*step]) * \
(float32 rate * float32 inverse[r*step])), number limit, uint32 seed, number index)

sums of rows: odt_sum_rows(out, x, stride, P, K)
    total = 0; total = (own + float32 x[p*stride + k]); out[p] = float32 total

sums of rows: odt_sum_rows_masked(out, x, stride, mask, P, K)
    total = 0; total = (own + select(bool mask[p*stride + k], float32 x[p*stride + k], 0)); \
out[p] = float32 total
""",
    odt_pack_planes={**PACKING, "beside": _scale},
    odt_pack_rows_f32=PACKING,
    odt_peak_planes={"beside": _scale},
    odt_real_tile_masked={"beside": _unit_each},
    odt_update_tile={"beside": _code_each, "watches": True},
)
