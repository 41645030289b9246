"""A device that learns old samples again between the new ones of a run."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..device.replies import Remembered
from ..device.session import Session
from ..errors import OdtError
from ..manifest import Manifest


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


class RehearsingSession(Session):
    """Each sample that is trained is kept, as the project's policy has it, and followed by so many
    `rehearsals`. One that comes again, as in another epoch, is not offered again."""

    def __init__(self, directory: str | Path, rehearsals: int, port: str | None = None):
        super().__init__(directory, port=port)
        self.rehearsals = rehearsals
        self._offered: set[bytes] = set()  # digests of samples and targets
        self._remembered: Remembered | None = None

    def __enter__(self) -> RehearsingSession:
        return self

    def train_encoded(self, sample: np.ndarray, target: np.ndarray) -> float:
        loss = super().train_encoded(sample, target)
        if self.rehearsals:
            self._offer(sample, target)
        for _ in range(self.rehearsals):
            self.rehearse()
        return loss

    def samples_trained(self) -> int:
        """Without the rehearsals, which are steps too: as many after each sample."""
        return self.stats()["steps"] // (1 + self.rehearsals)

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
            self._remembered = self.remember_encoded(sample, target)
