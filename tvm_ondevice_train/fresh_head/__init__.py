"""The head that `--classes` makes in place of a classifier: its layer, its room, its start."""

from .imprint import check_imprintable, imprint_module
from .replace import UNUSED, replace_head

__all__ = ["UNUSED", "check_imprintable", "imprint_module", "replace_head"]
