"""Which parameters train: a value keyed by parameter name, kept as JSON.

    {"format": "ondevice-train scheme", "version": 1, "head": true,
     "parameters": {"blocks.3.conv1.weight": {"ratio": 0.25}, "blocks.3.conv1.bias": "all"}}

"all" trains every element of the parameter, "frozen" none of it; a parameter that is not named is
frozen. An object trains some input channels of a weight, see `Channels`. "head" (default false)
adds every parameter of the model's last layer, whatever its names are. `resolve` makes such a value
from sugar (`full`, `head`, `last:K`, `bias:K`) or from a file.
"""

from __future__ import annotations

import difflib
import json
import os
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from relay_passes.layer_words import Layer, named_by
from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.files.limited_text import limited_text
from tvm_ondevice_train.files.whole_file import write_whole

FORMAT = "ondevice-train scheme"
VERSION = 1
ALL = "all"
FROZEN = "frozen"
RULES = ("norm", "first", "random")
_KEYS = ("format", "version", "head", "parameters")
_CHANNELS = (
    'allowed are "channels": [...] alone, or "ratio" or "count", with "rule" '
    f'({", ".join(RULES)}), and "seed" where the rule is random'
)


@dataclass(frozen=True)
class Channels:
    """Some input channels of a weight; exactly one of `indices`, `ratio` and `count` is given.

    indices: the channels themselves, kept in ascending order; "channels" in a file.
    ratio: above 0, at most 1; stands for the count ``max(1, round(ratio * channels))``, halves
        rounded to even. 1 is the same as "all".
    rule: which `count` channels: those of largest L2 "norm" of the weight as stored (int8 codes
        without their scales, as the released code of Lin et al. 2022 has it), the "first" ones, or
        "random" ones drawn with `seed`.
    """

    indices: tuple[int, ...] | None = None
    ratio: float | None = None
    count: int | None = None
    rule: str = "norm"
    seed: int = 0

    def __post_init__(self) -> None:
        given = [v for v in (self.indices, self.ratio, self.count) if v is not None]
        if len(given) != 1:
            raise OdtError(
                f'{len(given)} of "channels", "ratio" and "count" are given; it must be 1'
            )
        if self.rule not in RULES:
            raise OdtError(f"rule is {_shown(self.rule)}; allowed are {', '.join(RULES)}")
        if not _is_index(self.seed):
            raise OdtError(f"seed is {_shown(self.seed)}; it must be an integer of at least 0")
        if self.indices is not None:
            object.__setattr__(self, "indices", _ascending(self.indices))
        no_choice = self.indices is not None and self.rule != "norm"
        if no_choice or (self.seed and self.rule != "random"):
            raise OdtError(f"a rule or seed is given that chooses nothing; {_CHANNELS}")
        if self.ratio is not None and not (_is_number(self.ratio) and 0 < self.ratio <= 1):
            raise OdtError(f"ratio is {_shown(self.ratio)}; it must be a number above 0, at most 1")
        if self.count is not None and not (_is_index(self.count) and self.count > 0):
            raise OdtError(f"count is {_shown(self.count)}; it must be an integer of at least 1")

    def numbered(self, channels: int, norms: Sequence[float] | None = None) -> tuple[int, ...]:
        """Those that train of so many `channels`, ascending.

        norms : the L2 norm of each, or its square. OdtError where the rule needs them and they are
            not known, and where fewer channels are there than asked for.
        """
        if self.indices is not None:
            _check_range(f"channel {self.indices[-1]}", self.indices[-1] < channels, channels)
            return self.indices
        if self.count is not None:
            _check_range(f"count {self.count}", self.count <= channels, channels)
            count = self.count
        else:
            assert self.ratio is not None, "one of the three is given"
            count = max(1, round(self.ratio * channels))
        return tuple(sorted(self._ranking(channels, norms)[:count]))

    def _ranking(self, channels: int, norms: Sequence[float] | None) -> list[int]:
        """Every channel, the first to train first."""
        if self.rule == "first":
            return list(range(channels))
        if self.rule == "random":
            draw = random.Random(
                self.seed
            )  # of its methods, random() alone never changes its values
            return sorted(range(channels), key=[draw.random() for _ in range(channels)].__getitem__)
        if norms is None:
            raise OdtError(
                'channels are chosen by the rule "norm", which needs the values of the weight; '
                "give them by number"
            )
        return sorted(range(channels), key=lambda channel: (-norms[channel], channel))

    def to_json(self) -> dict[str, Any]:
        """The object that stands in a scheme file."""
        if self.indices is not None:
            return {"channels": list(self.indices)}
        entry: dict[str, Any] = {}
        if self.count is not None:
            entry["count"] = int(self.count)
        if self.ratio is not None:
            entry["ratio"] = float(self.ratio)
        if self.rule != "norm":
            entry["rule"] = self.rule
        if self.rule == "random":
            entry["seed"] = int(self.seed)
        return entry

    @classmethod
    def from_json(cls, entry: dict[str, Any]) -> Channels:
        """The inverse of `to_json`; OdtError for anything else."""
        choice = {"rule"} | ({"seed"} if entry.get("rule") == "random" else set())
        allowed = {"channels", "ratio", "count"} | (set() if "channels" in entry else choice)
        stray = [key for key in entry if key not in allowed]
        if stray:
            raise OdtError(f"{_shown(stray[0])} does not belong here; {_CHANNELS}")
        return cls(**{"indices" if key == "channels" else key: v for key, v in entry.items()})


@dataclass(frozen=True)
class UpdateScheme:
    """What trains of each parameter: name -> "all", "frozen" or `Channels`; something must train.

    head: the last layer's parameters train as well; `resolve` puts their names into `parameters`.
    """

    parameters: Mapping[str, str | Channels]
    head: bool = False

    def __post_init__(self) -> None:
        for name, what in self.parameters.items():
            if not isinstance(what, Channels) and what not in (ALL, FROZEN):
                raise OdtError(
                    f'scheme: parameter {_shown(name)} is {_shown(what)}; allowed are "{ALL}", '
                    f'"{FROZEN}" and an object such as {{"ratio": 0.25}}'
                )
        if not isinstance(self.head, bool):
            raise OdtError(f'scheme: "head" is {_shown(self.head)}; it must be true or false')
        if not (self.trained or self.head):
            raise OdtError(f'scheme: no parameter trains; at least one must be "{ALL}"')

    @property
    def trained(self) -> tuple[str, ...]:
        """The names of the parameters of which at least a part trains, in the scheme's order."""
        return tuple(name for name, what in self.parameters.items() if what != FROZEN)

    def to_json(self) -> str:
        """The scheme as the text of its file, one line a parameter."""
        entries = ",\n".join(
            f"    {json.dumps(name)}: "
            + json.dumps(what.to_json() if isinstance(what, Channels) else what)
            for name, what in self.parameters.items()
        )
        parameters = f"{{\n{entries}\n  }}"
        values = [json.dumps(v) for v in (FORMAT, VERSION, self.head)] + [parameters]
        lines = [f'  "{key}": {value}' for key, value in zip(_KEYS, values, strict=True)]
        return "{\n" + ",\n".join(lines) + "\n}\n"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the scheme to `path`: the whole file or, where that fails, nothing."""
        write_whole(path, self.to_json().encode(), "scheme")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> UpdateScheme:
        """Read a scheme file; OdtError where it is missing, not JSON, or not a scheme."""
        try:
            content = json.loads(limited_text(path))
        except OSError as error:
            raise OdtError(f"scheme: cannot read {path}: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise OdtError(f"scheme: {path} is not JSON: {error}") from error
        with errors_naming(path):
            return _parsed(content)


def resolve(spec: str | os.PathLike[str] | UpdateScheme, layers: tuple[Layer, ...]) -> UpdateScheme:
    """The scheme that `spec` means for a model with these layers.

    spec: "full" every weight and bias; "head" the last layer's; "last:K" those of the last K
    layers before the head, and the head's; "bias:K" the last K biases before the head, and the
    head's weight and bias; a path to a .json file; or a scheme, whose names are checked.
    layers: in execution order; the last is the head (the classifier).
    """
    if not layers:
        raise OdtError("scheme: the model has no convolution or fully connected layer to train")
    if isinstance(spec, UpdateScheme):
        return _checked(spec, layers)
    if _is_file(spec):
        scheme = UpdateScheme.load(spec)
        with errors_naming(spec):
            return _checked(scheme, layers)
    assert isinstance(spec, str), "what is no file is a word"
    try:
        names = named_by(spec, layers, ", or a path to a .json file")
    except ValueError as error:
        raise OdtError(f"scheme: {error}") from error
    return UpdateScheme(dict.fromkeys(names, ALL))


def _is_file(spec: object) -> bool:
    return isinstance(spec, os.PathLike) or (isinstance(spec, str) and spec.endswith(".json"))


@contextmanager
def errors_naming(spec: str | os.PathLike[str] | UpdateScheme) -> Iterator[None]:
    """Say in which file the mistake is, if the scheme came from one."""
    try:
        yield
    except OdtError as error:
        if not _is_file(spec):
            raise
        raise OdtError(f"{error} (in {spec})") from error


def _parsed(content: object) -> UpdateScheme:
    """The scheme of a parsed file."""
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise OdtError(f'scheme: not a scheme file, "format" must be "{FORMAT}"')
    if content.get("version") != VERSION:
        found = _shown(content.get("version"))
        raise OdtError(f"scheme: version {found} cannot be read, only version {VERSION}")
    stray = [key for key in content if key not in _KEYS]
    if stray:
        raise OdtError(f"scheme: {_shown(stray[0])} is unknown; allowed are {', '.join(_KEYS)}")
    parameters = content.get("parameters")
    if not isinstance(parameters, dict):
        raise OdtError('scheme: "parameters" must be an object: {name: "all", ...}')
    entries = {name: _entry(name, what) for name, what in parameters.items()}
    return UpdateScheme(entries, content.get("head", False))


def _entry(name: str, what: Any) -> Any:
    """One parameter's value, channels as `Channels`; `UpdateScheme` checks what is no object."""
    if not isinstance(what, dict):
        return what
    try:
        return Channels.from_json(what)
    except OdtError as error:
        raise OdtError(f"scheme: parameter {_shown(name)}: {error}") from error


def _checked(scheme: UpdateScheme, layers: tuple[Layer, ...]) -> UpdateScheme:
    """`scheme` with its head by name, once it is known to fit the model."""
    known = [name for layer in layers for name in layer.parameters]
    weights = {layer.weight for layer in layers}
    for name, what in scheme.parameters.items():
        if name not in known:
            close = difflib.get_close_matches(name, known, n=3)
            hint = f"close: {', '.join(close)}" if close else f"it has: {_some(known)}"
            raise OdtError(f"scheme: the model has no parameter {_shown(name)}; {hint}")
        if isinstance(what, Channels) and name not in weights:
            raise OdtError(
                f"scheme: parameter {_shown(name)} is {_shown(what.to_json())}, but only the "
                f'weight of a layer trains by channel; use "{ALL}" or "{FROZEN}"'
            )
    if not scheme.head:
        return scheme
    head = dict.fromkeys(layers[-1].parameters, ALL)
    for name in head:
        if scheme.parameters.get(name, ALL) != ALL:
            raise OdtError(
                f'scheme: "head" is true, so that parameter {_shown(name)} is "{ALL}"; '
                "leave it out, or set head to false"
            )
    return UpdateScheme({**scheme.parameters, **head})


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_index(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 0


def _check_range(asked: str, possible: bool, channels: int) -> None:
    if not possible:
        found = f"{channels} channels, 0 to {channels - 1}"
        raise OdtError(f"{asked} is out of range; the weight has {found}")


def _ascending(channels: object) -> tuple[int, ...]:
    """The listed channels in order, once each is an index and none comes twice."""
    found = list(channels) if isinstance(channels, Iterable) else []
    if not found or not all(map(_is_index, found)) or len(set(found)) != len(found):
        raise OdtError(
            f"channels are {_shown(channels)}; it must be a list of different integers "
            "of at least 0, not empty"
        )
    return tuple(sorted(map(int, found)))


def _shown(value: object) -> str:
    """A value as JSON, in one line, cut where it is long."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else text[:77] + "..."


def _some(names: list[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
