"""How each operator of an imported model is written in canonical form.

``HANDLERS[name](canonicalizer, call)`` returns the `Value` or `Parameter` that the call gives.
"""

from . import elementwise, linear, pooling, quantization, shape  # noqa: F401
from .registry import HANDLERS

__all__ = ["HANDLERS"]
