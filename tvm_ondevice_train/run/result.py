"""What a run found, as the content of `run.json`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from ..learning.health import of_labels, saturation, warnings
from ..learning.metrics import epoch_losses, per_class
from ..learning.training import Training

_MOST_CLASSES = 100  # of which the confusion matrix is kept


def result_of(run: Training) -> dict[str, Any]:
    """Everything but what the run cost; also of a run that goes on."""
    plan, data, manifest = run.plan, run.data, run.learner.manifest
    before = run.evaluations[0] if plan.evaluate and run.evaluations else {}
    after = run.after or {}
    (_, learned) = run.values[-1]
    return {
        "model_hash": manifest.model_hash,
        "plan": asdict(plan),
        "samples": {"training": len(data.x), "validation": _count(data.x_val)}
        | {"test": _count(data.x_test)},
        "losses": run.losses,
        "learning_rates": run.rates,
        "epochs": epoch_losses(run.losses, run.diverged, plan.first, len(data.x)),
        "steps": run.steps,
        "first_step": plan.first,
        "diverged": run.diverged,
        "lowered": run.lowered,
        "stopped": run.stopped,
        "ended": run.ended,
        "best_step": run.best.step if plan.save_best and run.best is not None else None,
        **{f"{key}_before": before.get(key) for key in ("accuracy", "error")},
        **{f"{key}_after": after.get(key) for key in ("accuracy", "error")},
        "evaluations": run.evaluations,
        **_of_classes(run),
        "saturation": saturation(learned),
        "replay": run.rehearsal.account(),
        "data_warnings": data_warnings(run),
        "warnings": warnings(
            run.losses, run.evaluations, run.values, guess=manifest.guess(run.classes)
        ),
    }


def _of_classes(run: Training) -> dict[str, Any]:
    """Of the evaluation at the end, where labels are learned."""
    used = run.classes
    if run.after is None or run.confusion is None or used is None:
        return {"classes": None, "confusion": None}
    _, _, labels = run.data.samples("test", "validation")
    labels = labels[(labels >= 0) & (labels < used)]  # of a map, some may not count
    counts = np.bincount(labels, minlength=used)
    matrix = run.confusion[:used, :used].tolist()
    classes = per_class(matrix, counts.tolist())
    for row, name in zip(classes, run.data.class_names, strict=False):
        row["name"] = name
    return {
        "classes": classes,
        "confusion": matrix if len(matrix) <= _MOST_CLASSES else None,
    }


def data_warnings(run: Training) -> list[str]:
    """What keeps the data from teaching, or from judging; known before the first step."""
    data, plan, classes = run.data, run.plan, run.classes
    lines = [] if classes is None else of_labels(classes, data.y, data.y_test)
    if data.x_val is None and (plan.save_best or plan.early_stop is not None):
        which = (
            "the samples that are learned from"
            if data.x_test is None
            else "the test set, whose figures are too good then"
        )
        lines.append(f"the best is chosen by {which}; hold some out (--validation)")
    return lines


def _count(samples: np.ndarray | None) -> int:
    return 0 if samples is None else len(samples)
