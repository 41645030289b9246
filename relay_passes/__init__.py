"""Training passes on TVM's Relax IR, the successor of Relay (which left TVM in 0.20).

They compose with TVM's own passes in a `tvm.transform.Sequential`.
"""

from .backward.eliminate_dead_gradients import EliminateDeadGradients
from .backward.integer_gradients import IntegerGradients
from .backward.narrow_adjoints import NarrowAdjoints
from .backward.sparse_backward import SparseBackward
from .backward.split_parameters import SplitParameters
from .kernels.attributes import MergeKernels
from .kernels.fuse_prologue import FusePrologue
from .kernels.legalize_ops import LegalizeOps
from .kernels.lower_qdq import LowerQDQ
from .memory.in_place import InPlace
from .memory.read_step import read_step
from .memory.reorder_for_memory import ReorderForMemory
from .microkernels.select import SelectMicrokernels
from .pipeline import lowering
from .schedule.default_schedule import DefaultSchedule
from .schedule.lower_to_loops import LowerToLoops
from .within_memory import with_less_scratch

__all__ = [
    "DefaultSchedule",
    "EliminateDeadGradients",
    "FusePrologue",
    "InPlace",
    "IntegerGradients",
    "LegalizeOps",
    "LowerQDQ",
    "LowerToLoops",
    "MergeKernels",
    "NarrowAdjoints",
    "ReorderForMemory",
    "SelectMicrokernels",
    "SparseBackward",
    "SplitParameters",
    "lowering",
    "read_step",
    "with_less_scratch",
]
