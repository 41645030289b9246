"""What a scheme means for one function: which of its parameters train, and which part of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from typing import Any, Protocol, TypeAlias, runtime_checkable

from tvm import relax

from ..graph import Consumers, ancestors_of, consumers_of, dtype_of, loss_of, shape_of
from ..layer_words import WORDS, named_by
from ..layers import layers_of
from .arguments import Arguments
from .split_parameters import channel_axis

ALL, FROZEN = "all", "frozen"
ALLOWED = (
    f"None for all float parameters, a word ({WORDS}), names or variables of parameters, "
    "{name: input channels}, or an UpdateScheme"
)


@runtime_checkable
class Scheme(Protocol):
    """What is read of an `UpdateScheme`: parts of parameters, and whether the head trains, too."""

    @property
    def parameters(self) -> Mapping[str, Any]: ...

    @property
    def head(self) -> bool: ...


@runtime_checkable
class SomeChannels(Protocol):
    """What is read of an `UpdateScheme`'s `Channels`: those that train of so many."""

    def numbered(self, channels: int) -> Sequence[int]: ...


Key: TypeAlias = "str | relax.Var"
Part: TypeAlias = "Sequence[int] | SomeChannels | str | None"
WhatTrains: TypeAlias = (
    "str | Iterable[Key] | Mapping[Key, Part] | Mapping[str, Part] | Scheme | None"
)
Parts: TypeAlias = "dict[relax.Var, tuple[int, ...] | None]"


def checked(scheme: WhatTrains) -> WhatTrains:
    """`scheme` by the names of parameters; ValueError for what makes sense for no function."""
    if scheme is None or isinstance(scheme, (str, Scheme)):
        return scheme
    keys = list(scheme) if isinstance(scheme, Iterable) else None
    if keys is None or not all(isinstance(key, (str, relax.Var)) for key in keys):
        raise ValueError(f"the scheme is {_shown(scheme)}; allowed are {ALLOWED}.")
    if isinstance(scheme, Mapping):
        return {_name(key): part for key, part in scheme.items()}
    return [_name(key) for key in keys]


def _name(key: Key) -> str:
    return key if isinstance(key, str) else key.name


def parts_of(scheme: WhatTrains, function: relax.Function, arguments: Arguments) -> Parts:
    """Each parameter that trains, in the function's order, with its input channels, None for all.

    Raises ValueError, in one line, where the function has no such parameter or channels.
    """
    parameters = arguments.parameters
    found = {
        _parameter(name, arguments): part
        for name, part in _entries(scheme, function, parameters).items()
        if not isinstance(part, str) or part != FROZEN
    }
    if not found:
        raise ValueError("the scheme trains nothing; name at least one parameter.")
    consumers = consumers_of(function)
    return {p: _channels(consumers, p, found[p]) for p in parameters if p in found}


def _entries(
    scheme: WhatTrains, function: relax.Function, parameters: Sequence[relax.Var]
) -> Mapping[str, Part]:
    if scheme is None:
        return dict.fromkeys(_float_parameters(function, parameters))
    if isinstance(scheme, str):
        return dict.fromkeys(_named(scheme, function, parameters))
    if isinstance(scheme, Scheme):
        head = _named("head", function, parameters) if scheme.head else []
        return {**scheme.parameters, **dict.fromkeys(head)}
    return scheme if isinstance(scheme, Mapping) else dict.fromkeys(scheme)


def _float_parameters(function: relax.Function, parameters: Sequence[relax.Var]) -> list[relax.Var]:
    read = ancestors_of(function, loss_of(function))
    tensors = [p for p in parameters if p in read and isinstance(p.ty, relax.TensorType)]
    found = [p.name for p in tensors if dtype_of(p).startswith(("float", "bfloat"))]
    if not found:
        raise ValueError(
            "the scheme is None, but no float parameter reaches the loss; name quantized ones, and "
            "let weights be arguments of the function, not constants."
        )
    return found


def _named(word: str, function: relax.Function, parameters: Sequence[relax.Var]) -> list[str]:
    names = [p.name for p in parameters]
    if word in names:
        return [word]
    layers = layers_of(function)
    if not layers:
        raise ValueError(f'"{word}": the function has no layer, and no parameter of that name.')
    found = named_by(word, layers, ", and names of parameters")
    bound = [name for name in found if name not in names]
    if bound:
        raise ValueError(f'"{word}" means "{bound[0]}", which is no parameter but computed.')
    return found


def _parameter(name: str, arguments: Arguments) -> relax.Var:
    """The parameter of that name."""
    parameters = arguments.parameters
    found = [p for p in parameters if p.name == name]
    if len(found) > 1:
        raise ValueError(f'{len(found)} parameters are called "{name}"; give each its own name.')
    if arguments.target is not None and arguments.target.name == name and not found:
        raise ValueError(
            f'"{name}" is the argument at target_index, which is the target; where the target is '
            "the last argument, as TVM's AppendLoss leaves it, say target_index=-1."
        )
    if not found:
        raise ValueError(
            f'there is no parameter "{name}" in the module; it has {_some(parameters)}. A weight '
            "that an importer bound as a constant cannot train: keep parameters as arguments."
        )
    _check_type(found[0])
    return found[0]


def _check_type(parameter: relax.Var) -> None:
    if getattr(parameter.ty, "shape", None) is None:
        raise ValueError(
            f'parameter "{parameter.name}" is {_shown(parameter.ty)}; only tensors of known shape '
            "train."
        )


def _channels(consumers: Consumers, parameter: relax.Var, part: Part) -> tuple[int, ...] | None:
    if part is None or (isinstance(part, str) and part == ALL):
        return None
    if isinstance(part, SomeChannels):
        axis, rows = channel_axis(consumers, parameter)
        part = _chosen(part, parameter, shape_of(parameter)[axis] // rows)
    listed = [] if isinstance(part, (str, Mapping)) else list(_listed(part))
    if not listed or not all(isinstance(n, Integral) and not isinstance(n, bool) for n in listed):
        raise ValueError(
            f'what trains of "{parameter.name}" is {_shown(part)}; allowed are None or "{ALL}", '
            "ascending numbers of its input channels, and `Channels`."
        )
    axis, rows = channel_axis(consumers, parameter)
    numbers = [int(n) for n in listed]
    whole = list(range(shape_of(parameter)[axis] // rows))
    return None if numbers == whole else tuple(numbers)


def _listed(part: object) -> Iterable[int]:
    return part if isinstance(part, Iterable) else ()


def _chosen(part: SomeChannels, parameter: relax.Var, channels: int) -> Sequence[int]:
    try:
        return part.numbered(channels)
    except ValueError as error:
        raise ValueError(f'"{parameter.name}": {error}') from error


def _shown(value: object) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."


def _some(parameters: Sequence[relax.Var]) -> str:
    names = ", ".join(f'"{p.name}"' for p in parameters[:5]) or "none"
    return names + (f" and {len(parameters) - 5} more" if len(parameters) > 5 else "")
