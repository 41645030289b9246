"""What options of `compile` contradict each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..losses import LABEL
from ..replay import RAM, SAMPLE
from .values import CLASSIFIER

if TYPE_CHECKING:
    from .options import Options


def contradiction(options: Options) -> str | None:
    """What of `options`, each of them right alone, cannot be together; None if all can."""
    found = (rule(options) for rule in (_classes, _head, _sums, _replay))
    return next(filter(None, found), None)


def _classes(options: Options) -> str | None:
    if options.seed and options.classes is None:
        return (
            f"seed is {options.seed}, but it only draws the fresh head that classes make; "
            "give classes, or no seed"
        )
    if options.classes == 1 and options.loss.target == LABEL:
        return f"classes is 1; {CLASSIFIER}, but for one logit, with loss bce, say"
    return None


def _sums(options: Options) -> str | None:
    if options.batch is None and options.accumulator != "auto":
        return f"accumulator is {options.accumulator}, but only a batch has sums; give batch"
    return None


def _replay(options: Options) -> str | None:
    how = (options.replay_in, options.replay_policy, options.replay_of)
    if options.replay is None and how != (RAM, None, SAMPLE):
        return "replay_in, replay_policy and replay_of say how samples are kept; give replay, too"
    return None


def _head(options: Options) -> str | None:
    if options.classes is None:
        return _without_classes(options)
    if options.head == "int8":
        return "head is int8, but classes make a fresh float32 head; give one of the two"
    names, theirs = options.class_names, options.file_class_names
    if bool(names) != bool(theirs) or (names and options.head_start == "random"):
        return (
            "class_names and file_class_names say which rows of the file's classifier a fresh head "
            "starts from: give both, or none, and none where head_start is random"
        )
    if names and len(names) != options.classes:
        return f"class_names are {len(names):,}, classes {options.classes:,}; they must be as many"
    if options.head == "cosine" and options.loss.target != LABEL:
        return f"head is cosine, whose rows are classes, but loss {options.loss.name} has none"
    if options.max_classes is None:
        return None
    if options.max_classes < options.classes:
        return f"max_classes is {options.max_classes:,}, less than the {options.classes:,} classes"
    if options.loss.target != LABEL:
        return f"max_classes needs a softmax over classes; loss {options.loss.name} has none"
    if options.loss.parameters.get("label_smoothing"):
        return "label_smoothing would expect classes that are not in use; give no max_classes"
    return None


def _without_classes(options: Options) -> str | None:
    """What only a fresh head can have, if `options` have it."""
    given = [
        name
        for name in ("max_classes", "class_names", "file_class_names")
        if getattr(options, name) is not None
    ]
    given += ["head_start"] if options.head_start != "auto" else []
    given += ["head cosine"] if options.head == "cosine" else []
    return f"{given[0]} is of a fresh head; give classes, too" if given else None
