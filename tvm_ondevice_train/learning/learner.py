"""What computes the steps of a run: a device at a line, or a simulation of it in this process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from ..device.replies import Remembered
from ..device.snapshot import Snapshot
from ..manifest import Manifest


class Learner(Protocol):
    """A model that learns. Samples and targets are what `device.samples` encodes, one at a time.

    Every method raises OdtError where the step is refused; `DeviceError` with `DIVERGED` where a
    loss, gradient or output is not finite. `device.session.Session` is one.
    """

    manifest: Manifest

    def train_encoded(self, sample: np.ndarray, target: np.ndarray) -> float:
        """One training step; the loss before its update."""

    def apply(self) -> None:
        """Update with the samples of a batch that is not full, if some wait."""

    def evaluate_encoded(self, sample: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
        """Loss and outputs of one sample; nothing is trained."""

    def parameters(self) -> dict[str, np.ndarray]:
        """A copy of every trained tensor, by name."""

    def set_parameters(self, values: Mapping[str, np.ndarray]) -> None:
        """Replace the trained tensors named in `values`; the others stay."""

    def set_learning_rate(self, learning_rate: float) -> None:
        """Use `learning_rate` from the next step on."""

    def classes(self) -> int | None:
        """How many classes are in use; None where no labels are learned."""

    def add_class(self) -> int:
        """Put one more class into use; its label. OdtError where all are."""

    def remember_encoded(self, sample: np.ndarray, target: np.ndarray) -> Remembered:
        """Keep this sample, as the project's policy has it."""

    def rehearse(self) -> float:
        """One training step on a kept sample; the loss before its update."""

    def snapshot(self) -> Snapshot:
        """All that training changes, but for the samples that are kept."""

    def restore(self, snapshot: Snapshot) -> None:
        """Be as the snapshot was: the next step gives the same bits."""

    def save(self) -> Any:
        """Keep what was learned, where there is somewhere to keep it."""
