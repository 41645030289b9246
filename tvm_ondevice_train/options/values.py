"""What the value of an option may be; each function says what is wrong with one, if anything is."""

from __future__ import annotations

import os
from typing import Any

from relay_passes.optimizers import MOST_SAMPLES

from ..codegen.prefix import wrong_prefix
from ..files.checked_json import shown
from ..files.name_list import repeated
from ..replay import MOST_SLOTS
from ..scheme import UpdateScheme

MOST_CLASSES = 1 << 16  # a classifier of more has more parameters than any board memory
CLASSIFIER = f"a classifier needs an integer from 2 to {MOST_CLASSES:,}"


def _is_count(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def wrong_batch(value: Any) -> str | None:
    if value is None or (_is_count(value, 1) and value <= MOST_SAMPLES):
        return None
    return f"a batch has an integer from 1 to {MOST_SAMPLES:,} samples"


def wrong_classes(value: Any) -> str | None:
    if value is None or (_is_count(value, 1) and value <= MOST_CLASSES):
        return None
    return CLASSIFIER


def wrong_bytes(value: Any) -> str | None:
    return None if value is None or _is_count(value, 1) else "it must be a number of bytes above 0"


def wrong_slots(value: Any) -> str | None:
    if value is None or (_is_count(value, 1) and value <= MOST_SLOTS):
        return None
    return f"it must be a number of samples from 1 to {MOST_SLOTS:,}"


def wrong_scheme(value: Any) -> str | None:
    if isinstance(value, (str, os.PathLike, UpdateScheme)):
        return None
    return "it must be a name, a file or an UpdateScheme"


def wrong_text(value: Any) -> str | None:
    return None if isinstance(value, str) else "it must be a name"


def wrong_flag(value: Any) -> str | None:
    return None if isinstance(value, bool) else "it must be true or false"


def wrong_seed(value: Any) -> str | None:
    return None if _is_count(value, 0) else "it must be an integer of at least 0"


def wrong_c_prefix(value: Any) -> str | None:
    if value is None:
        return None
    return wrong_text(value) or wrong_prefix(value)


def wrong_temperature(value: Any) -> str | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= 1000:
        return None
    return "it must be a number above 0 and up to 1000"


def wrong_names(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, tuple) or not all(isinstance(name, str) and name for name in value):
        return "it must be names, separated by commas, or a file with one a line"
    twice = repeated(value)
    return None if twice is None else f"{shown(twice)} is there twice"
