"""The packages of `pip install "tvm-ondevice-train[tune]"`, which TVM imports late."""

from __future__ import annotations

from importlib.util import find_spec

from ..errors import OdtError

_PACKAGES = ("xgboost", "psutil", "cloudpickle", "tornado")


def check_extra() -> None:
    """OdtError where one of them is missing."""
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise OdtError(f"tune: needs {', '.join(missing)}; pip install 'tvm-ondevice-train[tune]'")
