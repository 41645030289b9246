"""Everything that the C of one model is made from: planned steps, parameters, constants."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count

import numpy as np

from relay_passes.graph import aligned_bytes
from relay_passes.memory.step import Step, Tensor
from relay_passes.optimizers import BatchTensors, Inputs, Optimizer

from ..model import FreshHead
from ..replay import FEATURES, Replay
from ..tensor_spec import TensorSpec
from .features import features_in
from .names import identifier
from .planned_step import PlannedStep

_LEARNED = ("parameter", "class")  # kinds of slots whose start is the model's own
STACK_BYTES = 2048  # reserved for a step, the protocol and the store; `run` measures what is used


@dataclass(frozen=True)
class ParameterSlot:
    """A tensor in ``odt_params_t``: byte offset, C field, value at the start.

    kind : "parameter", one that trains; "class", which classes are in use, or how often each was
        imprinted; "state", of the optimizer; "hyperparameter"; "accumulator", a sum over a batch,
        "accumulated", how many samples it holds, and "batch", how many make one. All but the first
        two start from one number.
    """

    name: str
    field: str
    offset: int
    value: np.ndarray
    kind: str = "parameter"


def parameter_slots(values: Mapping[str, Mapping[str, np.ndarray]]) -> tuple[ParameterSlot, ...]:
    """A slot for each of `values` (kind -> name -> start).

    Four-byte elements come first, so that nothing is padded.
    """
    entries = [(kind, *item) for kind, named in values.items() for item in named.items()]
    slots, offset = [], 0
    fields: set[str] = set()
    for kind, name, value in sorted(entries, key=lambda entry: -entry[2].itemsize):
        slots.append(ParameterSlot(name, identifier(name, fields), offset, value, kind))
        offset += value.nbytes
    return tuple(slots)


@dataclass(frozen=True)
class PlannedModel:
    """Everything that the C of one model is made from.

    graph : text that tells one forward from another, whatever kernels compute it.
    train : its loss is known before the first update.
    update : of batches, where `train` only accumulates; None where `train` updates what trains.
    evaluate : its results are output and loss; what the output needs comes first.
    input, layout : of a sample, and its axes in letters ("NHWC") where they are known.
    target_kind : of `losses.targets`; `classes` where it is of labels, of which those that are
        `ignored` count nothing.
    inputs : which of the slots are states and hyper-parameters of `optimizer`.
    kept : which of them are of a batch; None with `update`.
    output : what a prediction is, in words.
    imprint : makes a sample part of its class's row; its first result are the sample's features.
    head : which of the slots are those of a fresh head's classes.
    replay : which samples the device keeps, or None.
    """

    name: str
    graph: str
    train: PlannedStep
    evaluate: PlannedStep
    frozen: Mapping[str, np.ndarray]
    slots: tuple[ParameterSlot, ...]
    constants: Mapping[str, np.ndarray]
    input: TensorSpec
    layout: str | None
    output_shape: tuple[int, ...]
    target: Tensor
    optimizer: Optimizer
    inputs: Inputs
    target_kind: str
    ignored: int | None
    classes: int | None
    output: str
    update: PlannedStep | None = None
    kept: BatchTensors | None = None
    imprint: PlannedStep | None = None
    head: FreshHead | None = None
    replay: Replay | None = None

    @property
    def steps(self) -> tuple[PlannedStep, ...]:
        """All that share the arena."""
        return tuple(self.activities.values())

    @property
    def activities(self) -> dict[str, PlannedStep]:
        """What the device does in each of the steps that there are."""
        steps = {
            "training": self.train,
            "updating": self.update,
            "evaluating": self.evaluate,
            "imprinting": self.imprint,
        }
        return {name: step for name, step in steps.items() if step is not None}

    @property
    def learned(self) -> tuple[ParameterSlot, ...]:
        """The slots that say what the device learned, and how many classes it has."""
        return tuple(slot for slot in self.slots if slot.kind in _LEARNED)

    @property
    def trained(self) -> tuple[ParameterSlot, ...]:
        """The slots of parameters, without what the optimizer keeps beside them."""
        return tuple(slot for slot in self.slots if slot.kind == "parameter")

    @property
    def replay_bytes(self) -> int:
        """SRAM for the samples that the device keeps, or for the account of those in flash."""
        outputs, sizes = int(np.prod(self.output_shape)), self._kept_bytes
        return self.replay.ram_bytes(*sizes, outputs) if self.replay else 0

    def replay_flash_bytes(self, unit: int, block: int) -> int:
        """Flash for them, where it is programmed in such units and erased in such blocks."""
        return self.replay.flash_bytes(*self._kept_bytes, unit, block) if self.replay else 0

    @property
    def _kept_bytes(self) -> tuple[int, int]:
        """Of a sample or its features, and of its target."""
        data = np.dtype(self.input.dtype).itemsize * int(np.prod(self.input.shape))
        if self.replay is not None and self.replay.of == FEATURES:
            features = features_in(self.train)
            assert features is not None, "a step is split where features are kept"
            data = features.size_bytes
        return data, self.target.size_bytes

    @property
    def arena_bytes(self) -> int:
        return aligned_bytes(max(p.plan.total_bytes for p in self.steps))

    @property
    def arena_lower_bound_bytes(self) -> int:
        """The most bytes that are live at once."""
        return max(p.plan.lower_bound_bytes for p in self.steps)

    @cached_property
    def model_hash(self) -> int:
        """Tells apart models that cannot go on with each other's trained parameters.

        Layout, names and first values of what trains, what is frozen, and the function of them,
        and which states the optimizer keeps; not how training computes: backward, schedules,
        rollback, the start of hyper-parameters.
        """
        check = zlib.crc32(self.graph.encode())
        trained = [
            (slot.name, slot.value if slot.kind in _LEARNED else np.zeros_like(slot.value))
            for slot in self.slots
        ]
        for kind, values in (("trained", trained), ("frozen", self.frozen.items())):
            for name, value in values:
                check = zlib.crc32(f"{kind} {name} {value.dtype} {value.shape}".encode(), check)
                check = zlib.crc32(value.tobytes(), check)
        return check


def merge_constants(
    *steps: Step, taken: Collection[str] = ()
) -> tuple[tuple[Step, ...], dict[str, np.ndarray]]:
    """The steps with constants of equal bytes under one name, and those constants.

    taken : names that none of them may get.
    """
    free = filter(lambda name: name not in taken, (f"constant_{n}" for n in count()))
    merged: dict[tuple, tuple[str, np.ndarray]] = {}
    renamed = []
    for step in steps:
        names = {}
        for name, value in step.constants.items():
            key = (str(value.dtype), value.tobytes())
            if key not in merged:
                merged[key] = (next(free), value)
            names[name] = merged[key][0]
        renamed.append(_rename_constants(step, names))
    return tuple(renamed), dict(merged.values())


def _rename_constants(step: Step, names: Mapping[str, str]) -> Step:
    def renamed(tensor: Tensor) -> Tensor:
        return replace(tensor, name=names[tensor.name]) if tensor.role == "constant" else tensor

    tasks = tuple(replace(task, inputs=tuple(map(renamed, task.inputs))) for task in step.tasks)
    constants = {names[name]: value for name, value in step.constants.items()}
    return replace(step, tasks=tasks, constants=constants)
