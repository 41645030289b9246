"""Train neural networks on microcontrollers: a model file in, a training step in C out."""

from importlib import import_module

_HOMES = {
    "CompiledModel": "compile",
    "Model": "model",
    "OdtError": "errors",
    "UpdateScheme": "scheme",
    "compile": "compile",
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
    # the submodules `compile` and `relay` are bound by the import; put the public name over them
    globals()[name] = module if name == "relay" else getattr(module, name)
    return globals()[name]
