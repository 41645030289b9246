"""Models, golden values and data sets that lie beside the checkout, for whoever has them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"

slow = pytest.mark.slow
needs_models = pytest.mark.skipif(
    not (SHARED / "models").is_dir(), reason="shared/models is missing"
)


def slow_after(count: int, cases: Iterable, ids: Iterable[str] | None = None) -> list:
    """Cases of `parametrize`, tuples or single values; those after the first `count` are slow."""
    values = [case if isinstance(case, tuple) else (case,) for case in cases]
    names = [None] * len(values) if ids is None else ids
    return [
        pytest.param(*case, marks=() if index < count else slow, id=name)
        for index, (case, name) in enumerate(zip(values, names, strict=True))
    ]


def shared_path(relative: str) -> Path:
    """Path of ``../shared/<relative>``; where it is missing the test is skipped.

    .ci/run reads the reason: with ../shared present no test may skip for want of it.
    """
    path = SHARED / relative
    if not path.exists():
        pytest.skip(f"shared/{relative} is missing")
    return path
