"""What a check of a model found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from ..errors import Obstacle


@dataclass(frozen=True)
class Agreement:
    """How far the C is from what the file's own reference computes on the same samples.

    samples, count : "random" or "given", and how many.
    largest : the largest difference of two outputs, in real values.
    largest_codes : the same in codes of the output; None for a float32 output.
    same_argmax : for how many samples the largest output is the same one.
    bound : the typical difference, a root of mean squares over the samples, up to which rounding
        explains it; `typical` is that of the worst output.
    """

    samples: str
    count: int
    largest: float
    largest_codes: float | None
    same_argmax: int
    typical: float
    bound: float

    @property
    def within_rounding(self) -> bool:
        """False where NaN came out, too."""
        return self.typical <= self.bound

    def __str__(self) -> str:
        codes = "" if self.largest_codes is None else f", {self.largest_codes:.3g} codes"
        return (
            f"{self.samples} samples: {self.largest:.3g} apart at most{codes}, "
            f"{self.typical:.3g} typically; "
            f"same largest output for {self.same_argmax} of {self.count}"
        )


@dataclass(frozen=True, repr=False)
class CheckReport:
    """All that is in a model's way, and where nothing is, how far the C is from the reference.

    model : name of its file.
    obstacles : each where it stands in the file, with what to do.
    reference : what evaluated the file beside us; None where nothing did.
    agreements : with the reference, on random samples and on the given ones.
    notes : what could not be checked, and why.
    """

    model: str
    obstacles: tuple[Obstacle, ...] = ()
    reference: str | None = None
    agreements: tuple[Agreement, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.obstacles

    def lines(self) -> Iterator[str]:
        """The report as text."""
        for number, obstacle in enumerate(self.obstacles, 1):
            yield f"{number}. {obstacle}"
        for agreement in self.agreements:
            yield f"beside {self.reference}, {agreement}"
        yield from self.notes
        if self.ok:
            yield "nothing is in the way"

    def to_json(self) -> dict:
        return {**asdict(self), "ok": self.ok}

    def __repr__(self) -> str:
        return f"{self.model}:\n" + "\n".join(f"  {line}" for line in self.lines())
