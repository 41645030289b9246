"""From generated C to a project directory that builds on its own."""

from .generate import check_replaceable, generate_project, read_report
from .runtime import runtime_dir

__all__ = ["check_replaceable", "generate_project", "read_report", "runtime_dir"]
