"""`tiny.network()` in PyTorch, trained in batches and with gradients of a limited norm."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import tiny
import torch
from torch.nn import functional


def samples(count: int, dtype: type = np.float32) -> tuple[np.ndarray, np.ndarray]:
    """Samples for `tiny.network()` and their labels."""
    generator = np.random.default_rng(1)
    x = generator.normal(size=(count, 2, 6, 6)).astype(np.float32)
    if dtype == np.int8:
        x = np.clip(np.round(x / 0.1), -128, 127).astype(np.int8)
    return x, generator.integers(0, 3, count)


class TorchNetwork:
    """Its parameters, by our names; `optimizer` makes that of PyTorch for them."""

    def __init__(
        self,
        optimizer: Callable[[Iterable], torch.optim.Optimizer],
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.dtype, values = dtype, tiny.network().parameters
        self.values = {
            name: torch.tensor(v, dtype=dtype, requires_grad=True) for name, v in values.items()
        }
        self.optimizer = optimizer(self.values.values())

    def train(self, x: Iterable, y: Iterable, limit: float | None = None) -> float:
        """One update with the mean gradient of a batch, its norm at most `limit`; the last loss."""
        self.optimizer.zero_grad()
        batch = list(zip(x, y, strict=True))
        for sample, label in batch:
            loss = self._loss(sample, label)
            (loss / len(batch)).backward()
        if limit is not None:
            torch.nn.utils.clip_grad_norm_(self.values.values(), limit)
        self.optimizer.step()
        return loss.item()

    def numbers(self) -> dict[str, np.ndarray]:
        """The parameters as they are now."""
        return {name: value.detach().numpy() for name, value in self.values.items()}

    def assert_near(self, found: Mapping[str, np.ndarray], relative: float = 1e-6) -> None:
        """All parameters together, to `relative` of the largest."""
        assert found.keys() == self.values.keys()
        ours, reference = (
            np.concatenate([np.asarray(of[n]).ravel() for n in found])
            for of in (found, self.numbers())
        )
        assert np.abs(ours - reference).max() <= relative * np.abs(reference).max()

    def _loss(self, sample: np.ndarray, label: int) -> torch.Tensor:
        hidden = functional.conv2d(
            torch.tensor(sample, dtype=self.dtype)[None], *self._of("conv")
        ).relu()
        logits = functional.conv2d(hidden.mean((2, 3), keepdim=True), *self._of("head"))
        return functional.cross_entropy(logits.reshape(1, 3), torch.tensor([int(label)]))

    def _of(self, layer: str) -> tuple[torch.Tensor, torch.Tensor]:
        return self.values[f"{layer}.weight"], self.values[f"{layer}.bias"]
