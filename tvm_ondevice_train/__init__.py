"""Train neural networks on microcontrollers: a model file in, a training step in C out."""

from importlib import import_module
from typing import Any

_HOMES = {
    "Channels": ".scheme",
    "CompiledModel": ".compiler",
    "Loss": ".losses",
    "Model": ".model",
    "Momentum": "relay_passes.optimizers",
    "OdtError": ".errors",
    "Optimizer": "relay_passes.optimizers",
    "Options": ".options",
    "SGD": "relay_passes.optimizers",
    "UpdateScheme": ".scheme",
    "compile": ".compiler",
    "export_project": ".export.exchange",
    "import_project": ".export.exchange",
    "load": ".frontend",
    "relay": ".relay",
    "run_project": ".run.run_project",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    """Import on first use: loading TVM takes seconds, `ondevice-train --help` must not."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(_HOMES[name], __name__)
    globals()[name] = module if name == "relay" else getattr(module, name)
    return globals()[name]
