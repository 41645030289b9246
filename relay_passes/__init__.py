"""Training passes on TVM's Relax IR, the successor of Relay (which left TVM in 0.20).

They compose with TVM's own passes in a `tvm.transform.Sequential`.
"""

from .eliminate_dead_gradients import EliminateDeadGradients
from .fuse_prologue import FusePrologue
from .in_place import InPlace
from .integer_gradients import IntegerGradients
from .kernel_attributes import MergeKernels
from .lower_qdq import LowerQDQ
from .lower_to_loops import LowerToLoops
from .narrow_adjoints import NarrowAdjoints
from .pipeline import lowering
from .read_step import read_step
from .reorder_for_memory import ReorderForMemory
from .schedule import DefaultSchedule
from .select_microkernels import SelectMicrokernels
from .sparse_backward import SparseBackward
from .split_parameters import SplitParameters
from .within_memory import with_less_scratch

__all__ = [
    "DefaultSchedule",
    "EliminateDeadGradients",
    "FusePrologue",
    "InPlace",
    "IntegerGradients",
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
