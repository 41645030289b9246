"""Words for the layers that train: ``full``, ``head``, ``last:K``, ``bias:K``. No TVM is loaded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TypeVar

T = TypeVar("T")

WORDS = "full, head, last:K, bias:K"


@dataclass(frozen=True)
class Layer:
    """One layer: names of parameters; `weight` and `bias` are None where it has none.

    `slopes` are those of each PReLU behind it, and what else was learned there, such as a scale.
    """

    name: str
    weight: str | None
    bias: str | None
    slopes: tuple[str, ...] = ()

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the parameters that the layer has, weight first."""
        names = (self.weight, self.bias, *self.slopes)
        return tuple(name for name in names if name is not None)


def layer_name(parameter: str) -> str:
    """The layer that a parameter belongs to by its name: ``conv1.weight`` -> ``conv1``."""
    return re.sub(r"[._](weight|bias|kernel)(_quantized)?$", "", parameter)


def named_by(word: str, layers: Sequence[Layer], others: str = "") -> list[str]:
    """The parameters that `word` means in a model with these layers, the last of which is its head.

    "full": every weight and bias; "head": the last layer's; "last:K": those of the last K layers
    before the head, and the head's; "bias:K": the last K biases before the head, and the head's
    weight and bias. ValueError, in one line, for anything else; `others` says what else is allowed.
    """
    *before, head = layers
    counted = re.fullmatch(r"(last|bias):(.*)", word)
    if word == "full":
        return [name for layer in layers for name in layer.parameters]
    if word == "head":
        return [*head.parameters]
    if counted and counted[1] == "last":
        chosen = _last(word, counted[2], before, "layers")
        return [name for layer in (*chosen, head) for name in layer.parameters]
    if counted:
        biases = [layer.bias for layer in before if layer.bias is not None]
        return [*_last(word, counted[2], biases, "biases"), *head.parameters]
    raise ValueError(f'"{word}" is unknown; allowed are {WORDS}{others}')


def meant_by(pattern: str, layers: Sequence[Layer], names: Sequence[str]) -> list[str]:
    """Those of the parameters `names` that `pattern` means; ValueError, in one line, for none.

    "head" means those of the last layer, "weight" and "bias" those that are it in their layer;
    anything else is a name, or a pattern of names as `fnmatch` has it.
    """
    words = {
        "head": layers[-1].parameters if layers else (),
        "weight": [layer.weight for layer in layers],
        "bias": [layer.bias for layer in layers],
    }
    if pattern in names or pattern not in words:
        found = [name for name in names if name == pattern or fnmatchcase(name, pattern)]
    else:
        found = [name for name in names if name in words[pattern]]
    if not found:
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        raise ValueError(
            f'lr_scale: "{pattern}" means nothing that trains; allowed are {", ".join(words)}, and '
            f"names or patterns of them, such as *.bias; there are {', '.join(names[:5])}{more}"
        )
    return found


def rates_of(
    lr_scale: Iterable[tuple[str, float]], layers: Sequence[Layer], names: Sequence[str]
) -> dict[str, float]:
    """The factor of each of the parameters `names` that has one (see `Optimizer`)."""
    return {
        name: factor for pattern, factor in lr_scale for name in meant_by(pattern, layers, names)
    }


def _last(word: str, count: str, items: list[T], what: str) -> list[T]:
    """The last `count` items; `count` is the user's text."""
    if not re.fullmatch(r"0*[1-9][0-9]{0,8}", count, re.ASCII):
        raise ValueError(f'"{word}": K must be a positive whole number, found "{count}"')
    if int(count) > len(items):
        raise ValueError(f'"{word}": the model has {len(items)} {what} before its head')
    return items[-int(count) :]
