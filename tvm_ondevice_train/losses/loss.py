"""What a loss is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from relay_passes.loss_parameters import PARAMETERS, LossParameter

from ..errors import OdtError
from .targets import LABEL, LABEL_MAP

if TYPE_CHECKING:
    import numpy as np

Emit: TypeAlias = Callable[[Any], Any]  # a binding's value -> its variable


def parameter(name: str) -> Any:
    """A field of a `Loss`: one of `PARAMETERS`."""
    return field(default=PARAMETERS[name].default, metadata={"parameter": PARAMETERS[name]})


@dataclass(frozen=True)
class Loss(ABC):
    """A loss of one sample. A subclass adds fields by `parameter`; OdtError for a wrong value.

    name, help : for the command line.
    target : what a sample is trained towards, see `targets`.
    activation : the Relax operator of whose result it is the loss, while it computes with what goes
        into it (logits): one that ends the network is left to the loss. None: it is of the output.
    """

    name: ClassVar[str]
    help: ClassVar[str]
    target: ClassVar[str]
    activation: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        for one in self.described():
            try:
                value = one.check(getattr(self, one.name))
            except ValueError as error:
                raise OdtError(str(error)) from None
            object.__setattr__(self, one.name, value)

    @classmethod
    def described(cls) -> tuple[LossParameter, ...]:
        """Its parameters."""
        found = (entry.metadata.get("parameter") for entry in fields(cls))
        return tuple(one for one in found if one is not None)

    @property
    def parameters(self) -> dict[str, Any]:
        """Those that are not as by default, as JSON has them."""
        values = {one: getattr(self, one.name) for one in self.described()}
        changed = {one.name: value for one, value in values.items() if value != one.default}
        return {n: list(v) if isinstance(v, tuple) else v for n, v in changed.items()}

    def refusal(self, output_shape: tuple[int, ...]) -> str | None:
        """Why no network of that output can have this loss; None if it can."""
        return None

    def guess(self, output_shape: tuple[int, ...]) -> float | None:
        """The most that its mean is if all is held for equally likely; None if unknown."""
        return None

    @abstractmethod
    def graph(self, emit: Emit, output: Any, target: Any) -> Any:
        """The loss, a float32 scalar, as a Relax expression. It loads TVM itself."""

    def kind_of(self, output_shape: tuple[int, ...]) -> str:
        """The kind of its target for that output."""
        return self.target

    @property
    def ignored(self) -> int | None:
        """The label that counts nothing, if there is one."""
        return None

    def target_of(self, output_shape: tuple[int, ...]) -> tuple[tuple[int, ...], str]:
        """Shape and dtype of the target."""
        kind = self.kind_of(output_shape)
        if kind == LABEL:
            return (1,), "int32"
        if kind == LABEL_MAP:
            return (1, *output_shape[2:]), "int32"
        return output_shape, "float32"

    def metrics(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """How right outputs (N, ...) are, for targets (N, ...) as `encode_targets` gives them.

        "accuracy" of labels, of each pixel's or of each decision; else "error", the mean of the
        squared differences. Samples whose output is not finite are wrong, and have no error.
        """
        from .metrics import METRICS

        return METRICS[self.target](outputs, targets)
