"""Train neural networks on microcontrollers: a model file in, a training step in C out."""

import sys
from importlib import import_module
from types import ModuleType

_HOMES = {
    "Channels": "scheme",
    "CompiledModel": "compile",
    "Model": "model",
    "OdtError": "errors",
    "UpdateScheme": "scheme",
    "compile": "compile",
    "export_project": "export.exchange",
    "import_project": "export.exchange",
    "load": "frontend",
    "relay": "relay",
    "run_project": "run",
}

__all__ = sorted(_HOMES)


def __getattr__(name):
    """Import on first use: loading TVM takes seconds, `ondevice-train --help` must not."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f".{_HOMES[name]}", __name__)
    globals()[name] = module if name == "relay" else getattr(module, name)
    return globals()[name]


class _Package(ModuleType):
    """Keeps `compile` the function: importing the submodule of that name would bind the module."""

    def __setattr__(self, name, value):
        is_submodule = name == "compile" and isinstance(value, ModuleType)
        super().__setattr__(name, value.compile if is_submodule else value)


sys.modules[__name__].__class__ = _Package
