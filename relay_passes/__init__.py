"""Training passes on TVM's Relax IR, the successor of Relay (which left TVM in 0.20).

They compose with TVM's own passes in a `tvm.transform.Sequential`. Modules that hold our operators
(``relax.odt.*``) can be read, from JSON or TVMScript, once one of the names below is imported, or
this package behind TVM.
"""

import sys
from importlib import import_module
from typing import Any

_HOMES = {
    "AppendLoss": "backward.append_loss",
    "DefaultSchedule": "schedule.default_schedule",
    "EliminateDeadGradients": "backward.eliminate_dead_gradients",
    "FusePrologue": "kernels.fuse_prologue",
    "InPlace": "memory.in_place",
    "IntegerGradients": "backward.integer_gradients",
    "InwardGradients": "backward.inward_gradients",
    "LegalizeOps": "kernels.legalize_ops",
    "LowerQDQ": "kernels.lower_qdq",
    "LowerToLoops": "schedule.lower_to_loops",
    "MergeKernels": "kernels.merge_kernels",
    "NarrowAdjoints": "backward.narrow_adjoints",
    "PlainLoops": "microkernels.plain_loops",
    "ReorderForMemory": "memory.reorder_for_memory",
    "SelectMicrokernels": "microkernels.select",
    "SparseBackward": "backward.sparse_backward",
    "SplitParameters": "backward.split_parameters",
    "lowering": "pipeline",
    "read_step": "memory.read_step",
    "with_less_scratch": "within_memory",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    """Import on first use: loading TVM takes seconds, and `optimizers` does not need it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import_module(".pipeline", __name__)  # registers it, and the operators
    globals()[name] = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    return globals()[name]


if "tvm" in sys.modules:  # else it would be loaded here
    from . import pipeline as pipeline
