"""From generated C to a project directory that builds on its own."""

from ..c_runtime import runtime_dir
from .generate import check_replaceable, generate_project, read_report

__all__ = ["check_replaceable", "generate_project", "read_report", "runtime_dir"]
