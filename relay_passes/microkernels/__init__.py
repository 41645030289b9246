"""The microkernels of the runtime (runtime/c/include/odt_*.h): a record each, a file a header."""

from . import block_float, dot, epilogue, float, window, window_phases
from .record import RECORDS

__all__ = ["HEADERS", "RECORDS"]
# what generated C includes for them, in this order
HEADERS = tuple(
    dict.fromkeys(
        module.HEADER for module in (dot, window, epilogue, float, block_float, window_phases)
    )
)
