"""What an optimizer is: state tensors, hyper-parameters, and the arithmetic of one element."""

from __future__ import annotations

import json
import math
import struct
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from numbers import Real
from typing import Any, ClassVar

from .blocks import STATE_DTYPES

OPTIMIZERS: dict[str, type[Optimizer]] = {}  # by name


@dataclass(frozen=True)
class State:
    """What the optimizer keeps: beside each trained tensor one of its shape, or one number.

    start : its value, everywhere, before the first step; float32.
    rooted : it is not negative, and in 8 bits its root is kept, of which no code is 0: it divides.
    """

    name: str
    start: float = 0.0
    rooted: bool = False


@dataclass(frozen=True)
class HyperParameter:
    """A number that a device can be told while it runs: ``0 <= value < below``.

    default : of one optimizer; others that have the number may begin elsewhere.
    optional : 0 leaves what it multiplies out of the step, and the number can then not be changed.
    positive : it divides, and is not 0.
    """

    name: str
    default: float
    help: str
    below: float = math.inf
    optional: bool = False
    positive: bool = False

    def check(self, value: float) -> float:
        """`value`; ValueError, in one line, for one that is out of range as a device has it.

        That is as a float32, in which what is not 0 must not become 0 either.
        """
        is_number = isinstance(value, Real) and not isinstance(value, bool)
        held = _as_float32(value) if is_number else math.nan
        wrong_zero = (held == 0) != (value == 0) or (held == 0 and self.positive)
        if not 0 <= held < self.below or wrong_zero:
            lower = "above 0" if self.positive else "0 or more"
            upper = "finite" if self.below == math.inf else f"below {self.below:g}"
            found = json.dumps(value, default=repr)
            raise ValueError(
                f"{self.name} is {found}; it must be {lower}, and {upper}, as a float32"
            )
        return float(value)


def _as_float32(value: float) -> float:
    """The nearest float32; infinity, or NaN, where there is none."""
    try:
        return float(struct.unpack("f", struct.pack("f", float(value)))[0])
    except OverflowError:
        return math.inf


def hyperparameter(default: float, help: str, *, kw_only: bool = False, **bounds: Any) -> Any:
    """A field of an `Optimizer`: its value is a start, see `HyperParameter` for `bounds`."""
    return field(default=default, metadata={"help": help, **bounds}, kw_only=kw_only)


def _described(entry: Field[Any]) -> HyperParameter:
    default: Any = entry.default
    return HyperParameter(entry.name, default, **entry.metadata)


@dataclass(frozen=True)
class Optimizer(ABC):
    """``value <- value - learning_rate * direction``, for every element of what trains.

    A subclass adds fields by `hyperparameter`, and the arithmetic by operators and `square_root`
    alone, so that it holds for elements of TE, numbers and arrays alike. Values are real: of a
    quantized parameter scale times code, which is why the same rule trains both (see `ops.update`).
    What an optimizer gets as gradient is already clipped (see `backward.clipping`).

    name : what the command line calls it.
    states : what it keeps beside each trained tensor.
    scalars : numbers that it keeps, once for all tensors, and changes once a step.
    state_dtype : how states beside tensors are kept: "float32", or "int8", as codes that are
        rounded stochastically, each block of them (see `blocks`) with a scale.
    lr_scale : (pattern, factor) pairs, or a mapping: the learning rate of the parameters that the
        pattern means (see `layer_words.meant_by`) is so many times that of the others. Of several
        the last holds. Factors are above 0, and part of what is compiled.
    """

    name: ClassVar[str] = ""
    states: ClassVar[tuple[State, ...]] = ()
    scalars: ClassVar[tuple[State, ...]] = ()

    learning_rate: float = hyperparameter(0.01, "Learning rate, at the start.")
    clip_norm: float = hyperparameter(
        0.0,
        "The largest norm of all gradients together; longer ones are shortened to it. 0: any.",
        optional=True,
        kw_only=True,
    )
    state_dtype: str = field(default="float32", kw_only=True)
    lr_scale: Any = field(default=(), kw_only=True)

    def __init_subclass__(cls) -> None:
        OPTIMIZERS[cls.name] = cls

    def __post_init__(self) -> None:
        for one in self.described():
            object.__setattr__(self, one.name, one.check(getattr(self, one.name)))
        self._check_state_dtype()
        object.__setattr__(self, "lr_scale", _checked_factors(self.lr_scale))

    def _check_state_dtype(self) -> None:
        if self.state_dtype not in STATE_DTYPES:
            found = json.dumps(self.state_dtype, default=repr)
            raise ValueError(f"state_dtype is {found}; allowed are {', '.join(STATE_DTYPES)}")
        started = [state.name for state in self.states if state.start]
        if self.state_dtype != "float32" and not self.states:
            raise ValueError(f"state_dtype is {self.state_dtype}, but {self.name} keeps no state")
        if self.state_dtype != "float32" and started:
            raise ValueError(
                f"state_dtype is {self.state_dtype}, but {started[0]} of {self.name} does not "
                "start at 0; its states must be float32"
            )

    @classmethod
    def described(cls) -> tuple[HyperParameter, ...]:
        """Its hyper-parameters, the learning rate first."""
        return tuple(_described(entry) for entry in fields(cls) if "help" in entry.metadata)

    @property
    def kept(self) -> dict[str, float]:
        """The hyper-parameters besides the learning rate that a step has, and their start."""
        found = {one: getattr(self, one.name) for one in self.described()[1:]}
        return {one.name: start for one, start in found.items() if start or not one.optional}

    def next_scalars(self, scalars: Mapping, hyper: Mapping) -> dict:
        """The new value of each of `scalars`; `hyper` has the numbers of `kept`."""
        return {}

    def next_states(self, gradient: Any, value: Any, states: Mapping, hyper: Mapping) -> dict:
        """The new value of each of `states`; `hyper` has those of `kept`, and the new scalars."""
        return {}

    @abstractmethod
    def direction(self, gradient: Any, value: Any, states: Mapping, hyper: Mapping) -> Any:
        """What the value goes against; `states` are the new ones."""


def _checked_factors(lr_scale: Any) -> tuple[tuple[str, float], ...]:
    """`lr_scale` as pairs; ValueError, in one line, for anything else."""
    factor = HyperParameter("factor", 1.0, "", positive=True)
    pairs = lr_scale.items() if isinstance(lr_scale, Mapping) else lr_scale
    try:
        return tuple((str(pattern), factor.check(by)) for pattern, by in pairs)
    except (TypeError, ValueError) as error:
        found = json.dumps(lr_scale, default=repr)
        raise ValueError(
            f"lr_scale is {found}; it must be factors, above 0 and finite, by names of parameters"
        ) from error


def hyperparameters(optimizers: Iterable[type[Optimizer]]) -> dict[str, HyperParameter]:
    """Those of all `optimizers` by name; a name means the same in each, but for its default."""
    found: dict[str, HyperParameter] = {}
    for one in (one for optimizer in optimizers for one in optimizer.described()):
        first = found.setdefault(one.name, one)
        if replace(first, default=one.default) != one:
            raise ValueError(f"two optimizers disagree on what {one.name} is; choose another name")
    return found


def owners_of(hyper: str) -> list[str]:
    """Names of the optimizers that have the hyper-parameter."""
    return list(defaults_of(hyper))


def defaults_of(hyper: str) -> dict[str, float]:
    """What the hyper-parameter is at the start, by the names of the optimizers that have it."""
    return {
        name: one.default
        for name, optimizer in OPTIMIZERS.items()
        for one in optimizer.described()
        if one.name == hyper
    }


def optimizer_of(name: str, values: Mapping[str, Any]) -> Optimizer:
    """The optimizer of that name with these fields; ValueError for what is unknown."""
    if not isinstance(name, str) or name not in OPTIMIZERS:
        found, known = json.dumps(name, default=repr), ", ".join(sorted(OPTIMIZERS))
        raise ValueError(f"optimizer is {found}; allowed are {known}")
    allowed = [one.name for one in OPTIMIZERS[name].described()]
    taken = {entry.name for entry in fields(OPTIMIZERS[name])}
    for one in values:
        if one not in taken:
            owners = owners_of(one)
            hint = f"; {' and '.join(owners)} would have it" if owners else ""
            raise ValueError(f"optimizer {name} has no {one}, but {', '.join(allowed)}{hint}")
    return OPTIMIZERS[name](**values)
