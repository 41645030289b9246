"""The contract between a project's host and its device, as a value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from relay_passes.optimizers import SGD

from ..boards import Board
from ..boards import board as find_board
from ..errors import OdtError
from ..files.checked_json import shown
from ..losses import LABEL, LABEL_MAP, LOSSES, Loss, classes_of, loss_of
from ..options import Options
from ..replay import Replay
from ..scheme.slices import Slice
from ..tensor_spec import TensorSpec

PLATFORMS = ("host", "baremetal", "zephyr")
MOST_BYTES = (1 << 32) - 1  # of anything on a device: sizes travel in 32 bits


@dataclass(frozen=True)
class Target:
    """What a training step gets beside its sample.

    kind : "label", a class index as int32 of shape (1,); "label_map", one for each pixel; "values",
        float32 of the output's shape; "probabilities", the same from 0 to 1.
    ignored : a label of no class that counts nothing, if there is one.
    """

    kind: str
    shape: tuple[int, ...]
    ignored: int | None = None

    @property
    def nbytes(self) -> int:
        return 4 * math.prod(self.shape)


@dataclass(frozen=True)
class TrainedParameter:
    """A tensor in ``odt_params_t``, and what of the model's parameter it holds.

    ``stored[i, j] = whole[rows[i], columns[j]]``; None is the whole axis in its order.

    shape, dtype : of the stored tensor; float32, int8 or int32.
    offset : bytes from the beginning of ``odt_params_t``.
    scale : real value of one code: one number, or one for each row; None for float32.
    """

    shape: tuple[int, ...]
    dtype: str
    offset: int
    scale: tuple[float, ...] | None
    whole_shape: tuple[int, ...]
    rows: tuple[int, ...] | None
    columns: tuple[int, ...] | None

    def __post_init__(self) -> None:
        expected = list(self.whole_shape)
        for axis, name in enumerate(("rows", "columns")):
            chosen = getattr(self, name)
            if chosen is not None:
                _check_chosen(chosen, name, axis, self.whole_shape)
                expected[axis] = len(chosen)
        if list(self.shape) != expected:
            raise OdtError(
                f"shape is {list(self.shape)}; whole_shape, rows and columns give {expected}"
            )
        if self.offset % np.dtype(self.dtype).itemsize:
            raise OdtError(f"offset is {self.offset}, where no {self.dtype} can lie")
        scales = () if self.dtype == "float32" else (1, *self.shape[:1])
        if self.scale is not None and len(self.scale) not in scales:
            raise OdtError(
                f"scale has {len(self.scale)} entries, for {self.dtype} of shape "
                f"{list(self.shape)}; integers have one, or one for each row, float32 has none"
            )

    @property
    def slice(self) -> Slice:
        """Which elements of the model's parameter it holds."""
        axes = (None if axis is None else np.array(axis) for axis in (self.rows, self.columns))
        return Slice(self.whole_shape, *axes)

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    @property
    def end(self) -> int:
        """The first byte behind it in ``odt_params_t``."""
        return self.offset + self.nbytes


@dataclass(frozen=True)
class StateTensor:
    """A tensor in ``odt_params_t`` that the optimizer keeps: beside a trained one, or 0-d.

    offset : bytes from the beginning of ``odt_params_t``.
    """

    shape: tuple[int, ...]
    offset: int
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.offset % np.dtype(self.dtype).itemsize:
            raise OdtError(f"offset is {self.offset}, where no {self.dtype} can lie")

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.offset + math.prod(self.shape) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Batches:
    """What lies in ``odt_params_t`` of a project that learns from batches; offsets are in bytes.

    size : offset of the number of samples that make a batch; uint32.
    count : offset of the number of those that wait for its update; uint32.
    sums : what their gradients add up to, by names unlike those of the trained parameters.
    """

    size: int
    count: int
    sums: Mapping[str, StateTensor]


@dataclass(frozen=True)
class MadeFrom:
    """The model file and the options of `compile` that the project can be compiled from again."""

    model: str
    options: Options


@dataclass(frozen=True)
class Manifest:
    """The contract of one project. Raises OdtError, in one line, for what contradicts itself.

    model, scheme : names, for people.
    model_hash : ``ODT_MODEL_HASH``; tells whether a device runs this model.
    loss, loss_parameters : its name, and those of its parameters that are not as by default.
    classes : how many there are where the target is labels; None where it is values.
    output_shape : of a prediction, float32, batch axis first.
    trained_parameters : by the model's names, in the order of ``odt_params_t``.
    stack_bytes : reserved for the stack, or for the thread that trains.
    optimizer : its name, for people.
    optimizer_states : what it keeps, by names unlike those of the trained parameters.
    hyperparameters : offset in ``odt_params_t`` of each that a device can be told, besides the
        learning rate; float32.
    batches : None where each sample updates what trains.
    replay : which samples the device keeps, or None.
    made_from : None for what was compiled from values, not from files alone.
    platform, transport : how it runs and talks; None until a project is generated.
    not_in_onnx : why the project has no model.onnx, or None.
    active_classes : how many of the classes are in use at the start, where the device can add some.
    unused : which of the trained parameters says, with a 0, that a class is in use; None: all are.
    imprinted : which of them counts the samples that each class was imprinted from, if one does.
    input_layout : the axes of a sample with two spatial ones, "NCHW" or "NHWC"; None where the
        network does not tell.
    """

    model: str
    model_hash: int
    scheme: str
    board: str
    loss: str
    classes: int | None
    input: TensorSpec
    output_shape: tuple[int, ...]
    target: Target
    trained_parameters: Mapping[str, TrainedParameter]
    stack_bytes: int
    loss_parameters: Mapping[str, Any] = field(default_factory=dict)
    optimizer: str = SGD.name
    optimizer_states: Mapping[str, StateTensor] = field(default_factory=dict)
    hyperparameters: Mapping[str, int] = field(default_factory=dict)
    batches: Batches | None = None
    replay: Replay | None = None
    made_from: MadeFrom | None = None
    platform: str | None = None
    transport: str | None = None
    not_in_onnx: str | None = None
    active_classes: int | None = None
    unused: str | None = None
    imprinted: str | None = None
    input_layout: str | None = None

    def __post_init__(self) -> None:
        _check_input(self.input)
        _check_output(self)
        _check_classes(self)
        _check_places(self)
        if self.replay is not None:
            self.replay.check_classes(self.classes)
        if self.stack_bytes < 1024 or self.stack_bytes % 32:
            raise OdtError(
                f"stack_bytes is {self.stack_bytes}; it must be a multiple of 32 from 1024 up"
            )
        if self.platform is not None:
            _check_platform(find_board(self.board), self.platform, self.transport)

    @property
    def known_loss(self) -> Loss | None:
        """The loss, or None for one of the program that compiled."""
        return loss_of(self.loss, self.loss_parameters) if self.loss in LOSSES else None

    def guess(self, classes: int | None = None) -> float | None:
        """The loss of a model that holds everything for equally likely; None if unknown.

        classes : how many are in use, where the device can add some.
        """
        loss, shape = self.known_loss, self.output_shape
        if self.unused is not None and classes is not None:
            shape = (shape[0], classes, *shape[2:])
        return None if loss is None else loss.guess(shape)

    def classes_in_use(self, learned: Mapping[str, np.ndarray]) -> int | None:
        """How many classes a device with these trained tensors uses; None where it has none."""
        if self.unused is None:
            return self.classes
        return int(np.argmax(np.append(learned[self.unused] < 0, True)))

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Of one sample, without the batch axis."""
        return self.input.shape[1:]

    @property
    def input_bytes(self) -> int:
        """Of one sample."""
        return math.prod(self.input.shape) * np.dtype(self.input.dtype).itemsize

    @property
    def output_bytes(self) -> int:
        """Of one prediction."""
        return 4 * math.prod(self.output_shape)

    @property
    def parameter_bytes(self) -> int:
        """From the beginning of ``odt_params_t`` to the end of the last tensor in it."""
        return max((end for _, end, _ in _places(self)), default=0)


def check_values(value: np.ndarray, what: str) -> None:
    """Refuse a trained parameter that the device cannot compute with; errors begin with `what`."""
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        raise OdtError(f"{what} holds NaN or infinity")
    if value.dtype != np.int32:
        return
    from relay_passes.ops.quantized import BIAS_LIMIT  # here: it loads TVM

    largest = int(np.abs(value.astype(np.int64)).max(initial=0))
    if largest > BIAS_LIMIT + 1:  # to which training may bring a bias
        raise OdtError(f"{what} holds {largest:,}; the device's sums allow {BIAS_LIMIT:,}")


def transports(board: Board, platform: str) -> tuple[str, ...]:
    """How a program for `board` can talk to the host, the default first."""
    return {"host": ("stdio",), "baremetal": board.transports}.get(platform, ("uart",))


def _check_chosen(chosen: tuple[int, ...], name: str, axis: int, whole: tuple[int, ...]) -> None:
    if axis >= len(whole):
        raise OdtError(f"{name} are given, but whole_shape is {list(whole)}")
    if max(chosen) >= whole[axis]:
        raise OdtError(f"{name} has {max(chosen)}; whole_shape allows 0 to {whole[axis] - 1}")
    if len(set(chosen)) != len(chosen):
        raise OdtError(f"{name} has an entry twice")


def _check_input(spec: TensorSpec) -> None:
    quantization = (spec.scale, spec.zero_point)
    if (spec.scale is None) != (spec.zero_point is None):
        raise OdtError("input has only one of scale and zero_point")
    if spec.dtype == "float32" and quantization != (None, None):
        raise OdtError("input is float32 and has a scale; only int8 has one")
    if spec.shape[:1] != (1,):
        raise OdtError(f"input.shape is {list(spec.shape)}; its first entry, the batch, must be 1")


def _check_output(manifest: Manifest) -> None:
    """Output, target, loss and classes must go together."""
    shape, target, classes = manifest.output_shape, manifest.target, manifest.classes
    if shape[:1] != (1,):
        raise OdtError(f"output_shape is {list(shape)}; its first entry, the batch, must be 1")
    loss = manifest.known_loss
    kind = target.kind if loss is None else loss.kind_of(shape)
    if target.kind != kind:
        raise OdtError(f"target.kind is {target.kind}; loss {manifest.loss} has {kind}")
    if kind == LABEL_MAP and len(shape) != 4:
        raise OdtError(f"output_shape is {list(shape)}; a map of labels has 4 axes")
    wanted = classes_of(kind, shape)
    labels = {LABEL: 1, LABEL_MAP: math.prod(shape) // (wanted or 1)}
    expected = labels.get(kind, math.prod(shape))
    if math.prod(target.shape) != expected:
        raise OdtError(
            f"target.shape is {list(target.shape)}; {target.kind} for an output of "
            f"{list(shape)} must have {expected} entries"
        )
    if classes != wanted:
        raise OdtError(f"classes is {shown(classes)}; target and output_shape give {shown(wanted)}")
    if target.ignored is not None and (kind != LABEL_MAP or 0 <= target.ignored < (wanted or 0)):
        raise OdtError(f"target.ignored is {target.ignored}; only a map has one, of no class")
    refusal = None if loss is None else loss.refusal(shape)
    if refusal is not None:
        raise OdtError(f"output_shape is {list(shape)}: {refusal}")


def _places(manifest: Manifest) -> list[tuple[int, int, str]]:
    """Of each tensor in ``odt_params_t`` its first byte, the one behind its last, and its key."""
    tensors: dict[str, Mapping[str, TrainedParameter] | Mapping[str, StateTensor]] = {
        "trained_parameters": manifest.trained_parameters,
        "optimizer_states": manifest.optimizer_states,
    }
    numbers = {f"hyperparameters[{shown(n)}]": at for n, at in manifest.hyperparameters.items()}
    if manifest.batches is not None:
        tensors["batches.sums"] = manifest.batches.sums
        numbers |= {"batches.size": manifest.batches.size, "batches.count": manifest.batches.count}
    return [
        *(
            (entry.offset, entry.end, f"{kind}[{shown(name)}]")
            for kind, entries in tensors.items()
            for name, entry in entries.items()
        ),
        *((offset, offset + 4, where) for where, offset in numbers.items()),
    ]


def _check_classes(manifest: Manifest) -> None:
    """Classes that are not in use yet, and the tensors that say how they are."""
    active, classes = manifest.active_classes, manifest.classes
    if (active is None) != (manifest.unused is None):
        raise OdtError("only one of active_classes and unused is given")
    if active is not None and (classes is None or not 1 <= active <= classes):
        raise OdtError(f"active_classes is {active}; classes is {shown(classes)}")
    for key in ("unused", "imprinted"):
        name = getattr(manifest, key)
        entry = manifest.trained_parameters.get(name)
        if name is None:
            continue
        if entry is None or entry.dtype != "float32" or math.prod(entry.shape) != classes:
            raise OdtError(f"{key} is {shown(name)}; it must be {shown(classes)} float32 numbers")


def _check_places(manifest: Manifest) -> None:
    """What lies in ``odt_params_t`` lies apart."""
    end, before = 0, ""
    for offset, own_end, where in sorted(_places(manifest)):
        if offset < end:
            raise OdtError(f"{where} overlaps with {before}")
        end, before = own_end, where
        if end > MOST_BYTES:
            raise OdtError(f"{where} ends at byte {end:,}; a device has {MOST_BYTES:,}")


def _check_platform(board: Board, platform: str, transport: str | None) -> None:
    if platform not in PLATFORMS:
        known = ", ".join(PLATFORMS)
        raise OdtError(f"unknown platform {platform!r}; known platforms are {known}")
    if platform != "host" and platform not in board.platforms:
        own = ", ".join(board.platforms)
        raise OdtError(f"board {board.name} has no platform {platform}; it has {own}")
    allowed = transports(board, platform)
    if transport not in allowed:
        raise OdtError(
            f"no transport {transport} on {board.name}, {platform}; allowed: {', '.join(allowed)}"
        )
