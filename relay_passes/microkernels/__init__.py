"""The microkernels of the runtime (runtime/c/include/odt_*.h): a record each, a file a header."""

from . import block_float, dot, epilogue, float, window, window_phases
from .record import RECORDS

# what generated C includes for them, in this order
HEADERS = tuple(module.HEADER for module in (dot, window, epilogue, float, block_float))
assert {record.header for record in RECORDS.values()} <= set(HEADERS) and window_phases


def macs_of(call) -> int:
    """Multiply-accumulates of one call of a microkernel; 0 for one that only moves data."""
    name, *arguments = call.args
    record = RECORDS.get(str(name.value))
    if record is None or record.macs is None:
        return 0
    return record.macs(*(int(a) if hasattr(a, "value") and not hasattr(a, "args") else 0 for a in arguments))
