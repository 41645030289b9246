"""odt_float.h: float32 sums of products, and weights for them."""

from __future__ import annotations

from .formula import Solution
from .nest import check
from .record import records
from .window import as_window

HEADER = "odt_float.h"
MAX_OUTPUTS = 4  # of odt_dot_f32


def _small_tile(solution: Solution) -> None:
    numbers = solution.numbers
    check(numbers["O"] <= MAX_OUTPUTS, "it has too many outputs")
    check(numbers["stride"] >= numbers["P"], "its rows overlap")


records(
    HEADER,
    """
sums over columns: odt_dot_f32(acc, a, stride, b, P, O, K)
    acc[o*P + p] = (own + (float32 a[k*stride + p] * float32 b{k*O + o}))

sums over a plane: odt_window_f32(acc, plane, pitch, taps, height, width, stride, rows, columns)
    acc{i} = (own + (float32 plane * float32 taps{k}))

columns of planes: odt_scale_columns_f32(filters, w, stride, scale, J, K)
    filters{k*J + j} = (int8 w[k*stride + j] * float32 scale[k])
""",
    odt_dot_f32={"beside": _small_tile},
    odt_scale_columns_f32={"otherwise": lambda nest: nest.with_store(nest.store)},
    odt_window_f32={"beside": as_window},
)
