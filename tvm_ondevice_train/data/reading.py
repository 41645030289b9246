"""How samples are read, whatever they lie in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import OdtError
from ..files.name_list import name_list, repeated
from .audio.front_end import FrontEnd
from .augmentation import Augmentation
from .normalization import Normalization


@dataclass(frozen=True)
class Reading:
    """What `load_data` shall do with samples; `of` makes it from text.

    normalization : of pixels and measured values; None is told by the model where it can be.
    front_end : of recordings; None is log-mel in the recordings' rate.
    window, stride : rows of a table that are a sample, and from one sample to the next; None is
        what the model takes, and as many.
    class_names : in the order of the labels; empty is the order of their names.
    augmentation : of training samples.
    limit : at most so many samples of each split.
    """

    normalization: Normalization | None = None
    front_end: FrontEnd | None = None
    window: int | None = None
    stride: int | None = None
    class_names: tuple[str, ...] = ()
    augmentation: Augmentation | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        for name in ("window", "stride", "limit"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise OdtError(f"data: {name} must be at least 1, not {value}")
        twice = repeated(self.class_names)
        if twice is not None or "" in self.class_names:
            what = f"{twice!r} twice" if twice else "an empty name"
            raise OdtError(f"data: class_names has {what}")

    @classmethod
    def of(
        cls,
        normalize: str | None = None,
        audio: str | None = None,
        window: int | None = None,
        stride: int | None = None,
        class_names: str | Sequence[str] | None = None,
        augment: str | None = None,
        limit: int | None = None,
    ) -> Reading:
        """From values as the command line has them; OdtError for what they cannot be."""
        return cls(
            normalization=None if normalize is None else Normalization.parse(normalize),
            front_end=None if audio is None else FrontEnd.parse(audio),
            window=window,
            stride=stride,
            class_names=name_list(class_names or ()),
            augmentation=None if augment is None else Augmentation.parse(augment),
            limit=limit,
        )
