"""Train neural networks on microcontrollers: a model file in, a training step in C out."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import relay_passes  # noqa: F401 - registers its operators where TVM is loaded

if TYPE_CHECKING:
    from relay_passes.optimizers import SGD as SGD
    from relay_passes.optimizers import Adam as Adam
    from relay_passes.optimizers import AdamW as AdamW
    from relay_passes.optimizers import Momentum as Momentum
    from relay_passes.optimizers import Optimizer as Optimizer

    from . import relay as relay
    from .checking.check import check as check
    from .checking.report import CheckReport as CheckReport
    from .compiler import CompiledModel as CompiledModel
    from .compiler import compile as compile
    from .errors import OdtError as OdtError
    from .export.exchange import export_project as export_project
    from .export.exchange import import_project as import_project
    from .frontend import load as load
    from .losses import BinaryCrossEntropy as BinaryCrossEntropy
    from .losses import CrossEntropy as CrossEntropy
    from .losses import Huber as Huber
    from .losses import Loss as Loss
    from .model import Model as Model
    from .options import Options as Options
    from .run.run_project import run_project as run_project
    from .scheme import Channels as Channels
    from .scheme import UpdateScheme as UpdateScheme

_HOMES = {
    "Adam": "relay_passes.optimizers",
    "AdamW": "relay_passes.optimizers",
    "BinaryCrossEntropy": ".losses",
    "Channels": ".scheme",
    "CheckReport": ".checking.report",
    "CompiledModel": ".compiler",
    "CrossEntropy": ".losses",
    "Huber": ".losses",
    "Loss": ".losses",
    "Model": ".model",
    "Momentum": "relay_passes.optimizers",
    "OdtError": ".errors",
    "Optimizer": "relay_passes.optimizers",
    "Options": ".options",
    "SGD": "relay_passes.optimizers",
    "UpdateScheme": ".scheme",
    "check": ".checking.check",
    "compile": ".compiler",
    "export_project": ".export.exchange",
    "import_project": ".export.exchange",
    "load": ".frontend",
    "relay": ".relay",
    "run_project": ".run.run_project",
}

__all__ = sorted(_HOMES)


def __dir__() -> list[str]:
    """Also what is not imported yet, for whoever looks what there is."""
    return sorted({*globals(), *_HOMES})


def __getattr__(name: str) -> Any:
    """Import on first use: loading TVM takes seconds, `ondevice-train --help` must not."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(_HOMES[name], __name__)
    globals()[name] = module if name == "relay" else getattr(module, name)
    return globals()[name]
