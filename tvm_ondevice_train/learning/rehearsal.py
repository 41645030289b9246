"""Old samples that are learned again between the new ones of a run."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import Any

import numpy as np

from ..device.replies import Remembered
from ..errors import OdtError
from ..manifest import Manifest
from .learner import Learner


def rehearsals_for(manifest: Manifest, asked: int | None) -> int:
    """How many old samples follow each new one: 1 where the project keeps some, unless `asked`."""
    if asked is None:
        return 0 if manifest.replay is None else 1
    if asked < 0:
        raise OdtError(f"run: replay must be at least 0, not {asked}")
    if asked and manifest.replay is None:
        raise OdtError(
            f"run: replay is {asked}, but the project keeps no samples; compile it with --replay N"
        )
    return asked


class Rehearsal:
    """Has `learner` keep each sample that is trained, as the project's policy has it, and learn as
    many as `rehearsals` again. One that comes again, as in another epoch, is not offered again."""

    def __init__(self, learner: Learner, rehearsals: int):
        self.learner, self.rehearsals = learner, rehearsals
        self._offered: set[bytes] = set()  # digests of samples and targets
        self._remembered: Remembered | None = None

    def after(self, sample: np.ndarray, target: np.ndarray) -> None:
        """Of a training step on this sample."""
        if self.rehearsals:
            self._offer(sample, target)
        for _ in range(self.rehearsals):
            self.learner.rehearse()

    def account(self) -> dict[str, Any] | None:
        """What is kept, and what that cost; None where nothing was to be."""
        if self._remembered is None:
            return None
        kept = asdict(self._remembered)
        del kept["kept"]
        return {"rehearsals": self.rehearsals, **kept}

    def _offer(self, sample: np.ndarray, target: np.ndarray) -> None:
        digest = hashlib.sha256(sample.tobytes() + target.tobytes()).digest()
        if digest not in self._offered:
            self._offered.add(digest)
            self._remembered = self.learner.remember_encoded(sample, target)
