"""Train neural networks on microcontrollers: a model file in, a training step in C out."""

from importlib import import_module

_HOMES = {
    "Channels": "scheme.update_scheme",
    "CompiledModel": "compiler",
    "Model": "model",
    "OdtError": "errors",
    "UpdateScheme": "scheme.update_scheme",
    "compile": "compiler",
    "export_project": "export.exchange",
    "import_project": "export.exchange",
    "load": "frontend",
    "relay": "relay",
    "run_project": "run.run_project",
}

__all__ = sorted(_HOMES)


def __getattr__(name):
    """Import on first use: loading TVM takes seconds, `ondevice-train --help` must not."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f".{_HOMES[name]}", __name__)
    globals()[name] = module if name == "relay" else getattr(module, name)
    return globals()[name]
