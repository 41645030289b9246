"""What the options of a fresh head may be; each function says what is wrong, if anything is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .files.checked_json import shown
from .losses import LABEL

if TYPE_CHECKING:
    from .options import Options


def wrong_temperature(value: Any) -> str | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= 1000:
        return None
    return "it must be a number above 0 and up to 1000"


def wrong_names(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, tuple) or not all(isinstance(name, str) and name for name in value):
        return "it must be names, separated by commas, or a file with one a line"
    twice = next((name for name in value if value.count(name) > 1), None)
    return None if twice is None else f"{shown(twice)} is there twice"


def wrong_head(options: Options) -> str | None:
    """What of the options of a head contradicts itself, if anything does."""
    if options.classes is None:
        return _without_classes(options)
    if options.head == "int8":
        return "head is int8, but classes make a fresh float32 head; give one of the two"
    names, theirs = options.class_names, options.file_class_names
    if bool(names) != bool(theirs) or (names and options.head_start == "random"):
        return "class_names and file_class_names go together, and say that no head starts at random"
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
