"""How each operator of a model lies in files: a `FileForm` each, for reading and for writing.

What the passes know of it is in `relay_passes.ops`.
"""

from . import cosine, elementwise, linear, pooling, quantization, shape  # noqa: F401
from .form import FORMS

__all__ = ["FORMS"]
