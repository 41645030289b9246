"""What a model takes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TensorSpec:
    """Shape, dtype and (for int8) affine quantization of the model's input.

    ``real = (code - zero_point) * scale``; ``scale`` is None for float32.
    """

    shape: tuple[int, ...]
    dtype: str
    scale: float | None = None
    zero_point: int | None = None
