"""Options as plain values: a loss and an optimizer by name, what they take beside them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from relay_passes.loss_parameters import PARAMETERS
from relay_passes.optimizers import HYPERPARAMETERS, SGD, Optimizer, optimizer_of

from ..errors import OdtError
from ..files.name_list import name_list
from ..losses import CROSS_ENTROPY, loss_of

OF_OPTIMIZERS = (*HYPERPARAMETERS, "state_dtype", "lr_scale")  # what any optimizer takes


def from_plain(keywords: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `Options` that `Options.of` was given as `keywords`."""
    found = dict(keywords)
    of_optimizer, of_loss = _taken(found, OF_OPTIMIZERS), _taken(found, PARAMETERS)
    found["optimizer"] = _optimizer(found.get("optimizer", SGD.name), of_optimizer)
    found["loss"] = loss_of(found.get("loss", CROSS_ENTROPY), of_loss)
    for name in ("class_names", "file_class_names"):
        if isinstance(found.get(name), (os.PathLike, Iterable)):
            found[name] = name_list(found[name])
    return found


def plain_optimizer(optimizer: Optimizer) -> dict[str, Any]:
    """What makes it again."""
    return {"optimizer": optimizer.name} | _values_of(optimizer)


def _optimizer(optimizer: str | Optimizer, given: dict[str, Any]) -> Optimizer:
    """The one of that name, or the given one, with the values that are given for it."""
    try:
        if isinstance(optimizer, Optimizer):
            return optimizer_of(optimizer.name, _values_of(optimizer) | given)
        return optimizer_of(optimizer, given)
    except ValueError as error:
        raise OdtError(str(error)) from None


def _values_of(optimizer: Optimizer) -> dict[str, Any]:
    values = {one.name: getattr(optimizer, one.name) for one in optimizer.described()}
    return values | {"state_dtype": optimizer.state_dtype, "lr_scale": dict(optimizer.lr_scale)}


def _taken(keywords: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Those of `names` that `keywords` has, and then has no longer; None is not given."""
    found = {name: keywords.pop(name, None) for name in names}
    return {name: value for name, value in found.items() if value is not None}
