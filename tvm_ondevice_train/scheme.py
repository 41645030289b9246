"""Which parameters train: a value keyed by parameter name, kept as JSON.

    {"format": "ondevice-train scheme", "version": 1,
     "parameters": {"blocks.3.conv1.weight": "all", "head.bias": "all"}}

"all" trains every element of the parameter, "frozen" none of it; a parameter that is not named is
frozen. `resolve` makes such a value from sugar (`full`, `head`, `last:K`, `bias:K`) or from a file.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tvm_ondevice_train.errors import OdtError

FORMAT = "ondevice-train scheme"
VERSION = 1
ALL = "all"
FROZEN = "frozen"
_SUGAR = "full, head, last:K, bias:K, or a path to a .json file"


@dataclass(frozen=True)
class Layer:
    """One layer; `weight` and `bias` are parameter names, None where it has none."""

    name: str
    weight: str | None
    bias: str | None

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the parameters that the layer has, weight first."""
        return tuple(name for name in (self.weight, self.bias) if name is not None)


@dataclass(frozen=True)
class UpdateScheme:
    """What trains of each parameter: name -> "all" or "frozen"; at least one is "all"."""

    parameters: Mapping[str, str]

    def __post_init__(self):
        for name, what in self.parameters.items():
            if what not in (ALL, FROZEN):
                raise OdtError(
                    f'scheme: parameter "{name}" is {json.dumps(what)}; '
                    f'allowed are "{ALL}" and "{FROZEN}"'
                )
        if not self.trained:
            raise OdtError(f'scheme: no parameter trains; at least one must be "{ALL}"')

    @property
    def trained(self) -> tuple[str, ...]:
        """The names of the parameters that train, in the scheme's order."""
        return tuple(name for name, what in self.parameters.items() if what == ALL)

    def to_json(self) -> str:
        """The scheme as the text of its file."""
        content = {"format": FORMAT, "version": VERSION, "parameters": dict(self.parameters)}
        return json.dumps(content, indent=2) + "\n"

    def save(self, path: str | os.PathLike) -> None:
        """Write the scheme to `path`: the whole file or, where that fails, nothing."""
        path = Path(path)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            temporary.write_text(self.to_json(), encoding="utf-8")
            os.replace(temporary, path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise OdtError(f"scheme: cannot write {path}: {error.strerror}") from error

    @classmethod
    def load(cls, path: str | os.PathLike) -> UpdateScheme:
        """Read a scheme file; OdtError where it is missing, not JSON, or not a scheme."""
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise OdtError(f"scheme: cannot read {path}: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise OdtError(f"scheme: {path} is not JSON: {error}") from error
        try:
            return cls(_parameters(content))
        except OdtError as error:
            raise OdtError(f"{error} (in {path})") from error


def resolve(spec: str | os.PathLike | UpdateScheme, layers: tuple[Layer, ...]) -> UpdateScheme:
    """The scheme that `spec` means for a model with these layers.

    spec: "full" every weight and bias; "head" the last layer's; "last:K" those of the last K
    layers before the head, and the head's; "bias:K" the last K biases before the head, and the
    head's weight and bias; a path to a .json file; or a scheme, whose names are checked.
    layers: in execution order; the last is the head (the classifier).
    """
    if isinstance(spec, UpdateScheme):
        return _checked(spec, layers)
    if isinstance(spec, os.PathLike) or spec.endswith(".json"):
        return _checked(UpdateScheme.load(spec), layers)
    if not layers:
        raise OdtError("scheme: the model has no convolution or fully connected layer to train")
    *before, head = layers
    counted = re.fullmatch(r"(last|bias):(.*)", spec)
    if spec == "full":
        names = [name for layer in layers for name in layer.parameters]
    elif spec == "head":
        names = head.parameters
    elif counted and counted[1] == "last":
        chosen = _last(spec, counted[2], before, "layers")
        names = [name for layer in (*chosen, head) for name in layer.parameters]
    elif counted:
        biases = [layer.bias for layer in before if layer.bias is not None]
        names = [*_last(spec, counted[2], biases, "biases"), *head.parameters]
    else:
        raise OdtError(f'scheme: "{spec}" is unknown; allowed are {_SUGAR}')
    return UpdateScheme(dict.fromkeys(names, ALL))


def _last(spec: str, count: str, items: list, what: str) -> list:
    """The last `count` items; `count` is the user's text."""
    if not re.fullmatch(r"0*[1-9][0-9]{0,8}", count, re.ASCII):
        raise OdtError(f'scheme: "{spec}": K must be a positive whole number, found "{count}"')
    if int(count) > len(items):
        raise OdtError(f'scheme: "{spec}": the model has {len(items)} {what} before its head')
    return items[-int(count) :]


def _parameters(content: object) -> dict[str, str]:
    """The `parameters` of a parsed scheme file, after checks of all that is around them."""
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise OdtError(f'scheme: not a scheme file, "format" must be "{FORMAT}"')
    if content.get("version") != VERSION:
        found = json.dumps(content.get("version"))
        raise OdtError(f"scheme: version {found} cannot be read, only version {VERSION}")
    parameters = content.get("parameters")
    if not isinstance(parameters, dict):
        raise OdtError('scheme: "parameters" must be an object: {name: "all" or "frozen"}')
    return parameters


def _checked(scheme: UpdateScheme, layers: Iterable[Layer]) -> UpdateScheme:
    """`scheme`, once every name in it is known to be a parameter of the model."""
    known = [name for layer in layers for name in layer.parameters]
    for name in scheme.parameters:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=3)
            hint = f"close: {', '.join(close)}" if close else f"it has: {_some(known)}"
            raise OdtError(f'scheme: the model has no parameter "{name}"; {hint}')
    return scheme


def _some(names: list[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
