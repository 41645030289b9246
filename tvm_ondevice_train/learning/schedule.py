"""How the learning rate goes over a run: as a share of the rate that was asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass

CONSTANT, COSINE, STEP = "constant", "cosine", "step"
KINDS = (CONSTANT, COSINE, STEP)
_DROPS, _DROP = 3, 0.1  # of STEP: so many equal parts, each with a tenth of the rate before


@dataclass(frozen=True)
class Schedule:
    """The share of the learning rate that each of `steps` steps has.

    kind : CONSTANT; COSINE, from 1 to 0 as `torch.optim.lr_scheduler.CosineAnnealingLR` with a
        minimum of 0; STEP, three equal parts, as `StepLR` with gamma 0.1.
    steps : of the whole run, also where it is resumed.
    warmup : the first of them, in which the rate rises linearly to its full height.
    """

    kind: str
    steps: int
    warmup: int = 0

    def share(self, step: int) -> float:
        """Of step `step`, counted from 0; beyond the last one, that of the last."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        behind = self.steps - self.warmup
        done = min(step, self.steps - 1) - self.warmup
        if self.kind == COSINE:
            return (1 + math.cos(math.pi * done / behind)) / 2
        if self.kind == STEP:
            return _DROP ** (done // max(1, -(-behind // _DROPS)))
        return 1.0
