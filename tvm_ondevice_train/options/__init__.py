"""What `compile` can be asked for."""

from .options import BACKWARDS, Options

__all__ = ["BACKWARDS", "Options"]
