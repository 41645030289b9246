"""From generated C to a project directory that builds on its own."""

from ..c_runtime import runtime_dir
from .generate import check_replaceable, generate_project

__all__ = ["check_replaceable", "generate_project", "runtime_dir"]
