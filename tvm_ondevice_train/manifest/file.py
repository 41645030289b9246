"""manifest.json: a manifest as a file, of which every field is checked when it is read."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..boards import boards
from ..errors import OdtError
from ..files import checked_json as checked
from ..files.generated import is_half_written
from ..files.limited_text import limited_text
from ..losses import KINDS
from ..options import Options
from ..replay import KINDS as REPLAY_KINDS
from ..replay import MEMORIES, MOST_SLOTS, POLICIES, Replay
from ..tensor_spec import TensorSpec
from .value import (
    MOST_BYTES,
    PLATFORMS,
    Batches,
    MadeFrom,
    Manifest,
    StateTensor,
    Target,
    TrainedParameter,
)

NAME = "manifest.json"
FORMAT = "ondevice-train manifest"
VERSION = 1
_TRANSPORTS = ("stdio", "semihosting", "uart")
_MOST_AXES = 8
_FLOAT32 = np.finfo(np.float32)


def to_json(manifest: Manifest) -> str:
    """The text of manifest.json, a line each field, trained parameter and state."""
    plain = asdict(replace(manifest, made_from=None))
    content = {"format": FORMAT, "version": VERSION, **plain}
    if manifest.made_from is not None:
        made_from = manifest.made_from
        plain = made_from.options.to_json() or {}
        content["made_from"] = {"model": made_from.model, "options": plain}
    lines = {key: json.dumps(value, allow_nan=False) for key, value in content.items()}
    for key in ("trained_parameters", "optimizer_states"):
        lines[key] = _object({n: json.dumps(e) for n, e in content[key].items()}, " ")
    return _object(lines) + "\n"


def _object(texts: Mapping[str, str], indent: str = "") -> str:
    lines = ",\n".join(f"{indent} {json.dumps(key)}: {text}" for key, text in texts.items())
    return f"{{\n{lines}\n{indent}}}"


def from_json(text: str) -> Manifest:
    """The inverse of `to_json`; OdtError, in one line, for anything else."""
    content = checked.parsed(text)
    if not isinstance(content, dict):
        raise OdtError(f"it holds {checked.shown(content)}; it must hold an object")
    found = content.pop("format", None)
    if found != FORMAT:
        raise OdtError(f'format is {checked.shown(found)}; it must be "{FORMAT}"')
    version = checked.integer(0)(content.pop("version", None), "version")
    if version != VERSION:
        age = "an older" if version < VERSION else "a newer"
        raise OdtError(f"{age} release made it: version is {version}; it must be {VERSION}")
    return _MANIFEST(content, "")


def read_manifest(directory: str | Path) -> Manifest:
    """That of the project in `directory`.

    Raises OdtError, in one line, where there is none, where it is damaged, and where the project
    is only half written.
    """
    path = Path(directory, NAME)
    if is_half_written(Path(directory)):
        raise OdtError(
            f"project: {directory} is half written: a `compile` was interrupted; compile it again"
        )
    try:
        text = limited_text(path)
    except FileNotFoundError:
        raise OdtError(_absent(Path(directory))) from None
    except OSError as error:
        raise OdtError(f"project: cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise OdtError(_damaged(path, "it is not text in UTF-8")) from None
    except ValueError as error:
        raise OdtError(_damaged(path, str(error))) from None
    try:
        return from_json(text)
    except OdtError as error:
        raise OdtError(_damaged(path, str(error))) from None


def _absent(directory: Path) -> str:
    if not directory.exists():
        return f"project: {directory} does not exist; make it with `ondevice-train compile`"
    if (directory / "report.json").exists():
        return (
            f"project: {directory} was compiled by an earlier release (it has no {NAME}); compile "
            "it again"
        )
    return (
        f"project: {directory} is not a project (no {NAME}); make one with `ondevice-train compile`"
    )


def _damaged(path: Path, what: str) -> str:
    return f"project: {path} cannot be used: {what}. Compile the project again"


def _shape(least: int) -> checked.Check[tuple[int, ...]]:
    """At least `least` axes, and no more elements than a device has bytes."""
    axes = checked.listed(checked.integer(1, MOST_BYTES), least, _MOST_AXES)

    def check(value: Any, key: str) -> tuple[int, ...]:
        shape = axes(value, key)
        if math.prod(shape) > MOST_BYTES:
            raise OdtError(f"{key} is {list(shape)}; a device has {MOST_BYTES:,} bytes")
        return shape

    return check


_INDICES = checked.optional(checked.listed(checked.integer(0, MOST_BYTES), 1))
_PARAMETER = checked.record(
    TrainedParameter,
    {
        "shape": _shape(0),
        "dtype": checked.one_of("float32", "int8", "int32"),
        "offset": checked.integer(0, MOST_BYTES),
        "scale": checked.optional(checked.listed(checked.number(0), 1)),
        "whole_shape": _shape(0),
        "rows": _INDICES,
        "columns": _INDICES,
    },
)
_INPUT = checked.record(
    TensorSpec,
    {
        "shape": _shape(1),
        "dtype": checked.one_of("float32", "int8"),
        "scale": checked.optional(checked.number(float(_FLOAT32.tiny), float(_FLOAT32.max))),
        "zero_point": checked.optional(checked.integer(-128, 127)),
    },
)
_TARGET = checked.record(
    Target,
    {
        "kind": checked.one_of(*KINDS),
        "shape": _shape(0),
        "ignored": checked.optional(checked.integer(-(1 << 31), (1 << 31) - 1)),
    },
)
_WORD = checked.multiple_of(4, MOST_BYTES)  # an offset
_STATE = checked.record(
    StateTensor,
    {
        "shape": _shape(0),
        "offset": checked.integer(0, MOST_BYTES),
        "dtype": checked.one_of("float32", "int16", "int8"),
    },
    may_miss=("dtype",),
)
_BATCHES = checked.record(Batches, {"size": _WORD, "count": _WORD, "sums": checked.named(_STATE)})


_REPLAY = checked.record(
    Replay,
    {
        "slots": checked.integer(1, MOST_SLOTS),
        "policy": checked.one_of(*POLICIES),
        "memory": checked.one_of(*MEMORIES),
        "of": checked.one_of(*REPLAY_KINDS),
    },
)


def _options(value: Any, key: str) -> Options:
    """Options as `Options.to_json` has them, which know themselves what they may be."""
    plain = checked.named(lambda entry, _key: entry)(value, key)
    try:
        return Options.of_json(plain)
    except OdtError as error:
        raise OdtError(f"{key}: {error}") from None


_MADE_FROM = checked.record(MadeFrom, {"model": checked.text, "options": _options})
_MANIFEST = checked.record(
    Manifest,
    {
        "model": checked.text,
        "model_hash": checked.integer(0, (1 << 32) - 1),
        "scheme": checked.text,
        "board": checked.one_of(*(row.name for row in boards())),
        "loss": checked.text,
        "loss_parameters": checked.named(lambda value, _key: value),
        "classes": checked.optional(checked.integer(1, MOST_BYTES)),
        "input": _INPUT,
        "output_shape": _shape(1),
        "target": _TARGET,
        "trained_parameters": checked.named(_PARAMETER),
        "stack_bytes": checked.integer(1024, MOST_BYTES),
        "optimizer": checked.text,
        "optimizer_states": checked.named(_STATE),
        "hyperparameters": checked.named(_WORD),
        "batches": checked.optional(_BATCHES),
        "replay": checked.optional(_REPLAY),
        "made_from": checked.optional(_MADE_FROM),
        "platform": checked.one_of(*PLATFORMS),
        "transport": checked.one_of(*_TRANSPORTS),
        "not_in_onnx": checked.optional(checked.text),
        "active_classes": checked.optional(checked.integer(1, MOST_BYTES)),
        "unused": checked.optional(checked.text),
        "imprinted": checked.optional(checked.text),
        "input_layout": checked.optional(checked.one_of("NCHW", "NHWC")),
    },
    may_miss={"input_layout"},  # projects of earlier releases have none
)
