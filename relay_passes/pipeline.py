"""All passes in their order: from a loss function, or a QDQ function, to ordered kernels."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import tvm
from tvm import relax

from .backward.eliminate_dead_gradients import EliminateDeadGradients
from .backward.integer_gradients import IntegerGradients
from .backward.inward_gradients import InwardGradients
from .backward.narrow_adjoints import NarrowAdjoints
from .backward.sparse_backward import AnyOptimizer, SparseBackward
from .backward.what_trains import WhatTrains
from .formats import FORMATS
from .kernels.fuse_prologue import FusePrologue
from .kernels.legalize_ops import LegalizeOps
from .kernels.lower_qdq import LowerQDQ
from .kernels.merge_kernels import MergeKernels
from .memory.in_place import InPlace
from .memory.reorder_for_memory import ReorderForMemory
from .microkernels.plain_loops import PlainLoops
from .microkernels.select import SelectMicrokernels
from .optimizers import SGD
from .schedule.default_schedule import Chooser, DefaultSchedule
from .schedule.lower_to_loops import LowerToLoops
from .tvm_pass import sequence
from .verify import verify

STEP_ROLES = ("input", "target", "learning_rate", "seed")
EVALUATION_ROLES = STEP_ROLES[:2]


def differentiation(
    trained: WhatTrains = None,
    backward: str = "int16",
    optimizer: AnyOptimizer = SGD(),  # noqa: B008 - a frozen value
) -> list[tvm.transform.Pass]:
    """From a loss function to a training step.

    trained, optimizer : what `SparseBackward` takes.
    backward : the format of adjoints: "float32", "int16", or one of `FORMATS`.
    """
    return [
        # differentiate, for what trains
        SparseBackward(trained, optimizer=optimizer),
        # output codes that were clamped learn their way back
        InwardGradients(),
        # compute and save no more than that needs
        EliminateDeadGradients(),
        # if wanted, integer arithmetic, and adjoints in fewer bits
        *([IntegerGradients(windows=False)] if backward != "float32" else []),
        *([NarrowAdjoints(backward)] if backward in FORMATS else []),
    ]


def fusion(fuse: bool = True) -> list[tvm.transform.Pass]:
    """From operators to `call_tir` of PrimFuncs that are not scheduled.

    A reshape stays a reshape: it moves no byte and becomes another name for the same buffer.

    fuse : False keeps one kernel for each operator, so that every tensor can be looked at.
    """
    return [
        # integer operators where the codes allow it, everything else stays float32
        LowerQDQ(),
        relax.transform.CanonicalizeBindings(),
        relax.transform.DeadCodeElimination(),
        # operators to TIR
        LegalizeOps(),
        relax.transform.AnnotateTIROpPattern(),
        # fewer kernels: first what a kernel reads, then what follows it
        *([FusePrologue(), relax.transform.FuseOps(), MergeKernels()] if fuse else []),
        relax.transform.DeadCodeElimination(),
    ]


def scheduling(
    chooser: Chooser | None = None,
    scratch: Mapping[str, int] | None = None,
    microkernels: bool = True,
) -> list[tvm.transform.Pass]:
    """From PrimFuncs to loops and calls of microkernels, as C is printed from.

    chooser, scratch : what takes the decisions of schedules, and how much scratch kernels get
        (see `DefaultSchedule`).
    microkernels : False leaves loops that call nothing, for TVM's code generators.
    """
    return [
        # one loop nest a kernel, then plain loops, then what may overwrite what
        DefaultSchedule(chooser, scratch),
        LowerToLoops(),
        InPlace(),
        # loops that the runtime has a microkernel for, or none of its functions
        SelectMicrokernels() if microkernels else PlainLoops(),
    ]


def ordering(
    roles: tuple[str, ...], rollback: bool = False, changing: Collection[str] | None = None
) -> list[tvm.transform.Pass]:
    """The kernel calls in the order that needs the least memory; see `ReorderForMemory`."""
    return [ReorderForMemory(roles, rollback, changing=changing)]


@sequence
def lowering(
    fuse: bool = True,
    chooser: Chooser | None = None,
    scratch: Mapping[str, int] | None = None,
    microkernels: bool = True,
) -> list[tvm.transform.Pass]:
    """QDQ Relax, with or without a backward, to `call_tir` of scheduled PrimFuncs.

    microkernels : whether kernels call the C runtime, as generated C does; `tvm.compile` refuses
        them in one line. Without, it takes the module, with ``target="llvm"``, as it takes any
        other, also behind `ReorderForMemory`, and codes are those of the C to the bit, as long as
        the target does not fuse multiplications with additions.

    Examples
    --------
    .. code-block:: python

        step = transform.lowering(microkernels=False)(step)
        executable = tvm.compile(transform.ReorderForMemory()(step), target="llvm")
    """
    return [*fusion(fuse), *scheduling(chooser, scratch, microkernels)]


@relax.register_pipeline("odt_training")
@sequence
def training_step(
    scheme: WhatTrains = None,
    func_name: str = "main",
    target_index: int | None = 1,
    optimizer: AnyOptimizer = SGD(),  # noqa: B008 - a frozen value
) -> list[tvm.transform.Pass]:
    """From a loss function to what TVM's virtual machine runs on a CPU: a training step.

    Registered, so that TVM's users write ``tvm.compile(loss, target="llvm",
    relax_pipeline=relax.get_pipeline("odt_training", scheme=["fc.weight"]))``.

    All arguments are those of `SparseBackward`.
    """
    return [
        SparseBackward(scheme, func_name, target_index, optimizer),
        EliminateDeadGradients(func_name),
        relax.get_pipeline("default"),
    ]


def training_passes(
    trained: WhatTrains = None,
    fuse: bool = True,
    backward: str = "int16",
    rollback: bool = False,
    **schedule: Any,
) -> list[tvm.transform.Pass]:
    """Everything, for a loss function; without `fuse` the order of the graph stays."""
    return [
        *differentiation(trained, backward),
        *fusion(fuse),
        *scheduling(**schedule),
        *(ordering(STEP_ROLES, rollback) if fuse else []),
    ]


def run(
    passes: Sequence[tvm.transform.Pass],
    module: tvm.IRModule,
    trained: Collection[str] = (),
    dump: Callable[[str, tvm.IRModule], None] | None = None,
) -> tvm.IRModule:
    """What `passes` make of `module`, verified behind each.

    trained : parameters that must be updated (see `verify`).
    dump : called with the name of each pass and what it made.
    """
    for transform in passes:
        module = transform(module)
        verify(module, transform.info.name, trained)
        if dump is not None:
            dump(transform.info.name, module)
    return module
