"""Build a project, start it, and talk to it."""

from .build import Sizes, build, sizes
from .session import Session

__all__ = ["Session", "Sizes", "build", "sizes"]
