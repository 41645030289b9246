"""Training passes on TVM's Relax IR, the successor of Relay (which left TVM in 0.20).

They compose with TVM's own passes in a `tvm.transform.Sequential`.
"""

from .fuse_prologue import FusePrologue
from .lower_qdq import LowerQDQ
from .pipeline import lowering
from .schedule import DefaultSchedule
from .sparse_backward import SparseBackward

__all__ = ["DefaultSchedule", "FusePrologue", "LowerQDQ", "SparseBackward", "lowering"]
