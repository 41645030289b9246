"""The one ordered list of passes from a QDQ function to scheduled kernels."""

from __future__ import annotations

import tvm
from tvm import relax

from .fuse_prologue import FusePrologue
from .in_place import InPlace
from .kernel_attributes import MergeKernels
from .lower_qdq import LowerQDQ
from .lower_to_loops import LowerToLoops
from .schedule import DefaultSchedule
from .select_microkernels import SelectMicrokernels


def lowering(fuse: bool = True, chooser=None, scratch=None) -> tvm.transform.Pass:
    """QDQ Relax, with or without a backward, to `call_tir` of scheduled PrimFuncs.

    A reshape stays a reshape: it moves no byte and becomes another name for the same buffer.

    Parameters
    ----------
    fuse : False keeps one kernel for each operator, so that every tensor can be looked at.
    chooser, scratch : what takes the decisions of schedules, and how much scratch kernels get
        (see `DefaultSchedule`).
    """
    return tvm.transform.Sequential(
        [
            # integer operators where the codes allow it, everything else stays float32
            LowerQDQ(),
            relax.transform.CanonicalizeBindings(),
            relax.transform.DeadCodeElimination(),
            # operators to TIR
            relax.transform.LegalizeOps(skip_ops=["relax.reshape"]),
            relax.transform.AnnotateTIROpPattern(),
            # fewer kernels: first what a kernel reads, then what follows it
            *([FusePrologue(), relax.transform.FuseOps(), MergeKernels()] if fuse else []),
            relax.transform.DeadCodeElimination(),
            scheduling(chooser, scratch),
        ]
    )


def scheduling(chooser=None, scratch=None) -> tvm.transform.Pass:
    """Unscheduled PrimFuncs to loops and calls of microkernels, as C is printed from."""
    return tvm.transform.Sequential(
        [
            # one loop nest a kernel, then plain loops, then what may overwrite what
            DefaultSchedule(chooser, scratch),
            LowerToLoops(),
            InPlace(),
            # loops that the runtime has a microkernel for
            SelectMicrokernels(),
        ]
    )
