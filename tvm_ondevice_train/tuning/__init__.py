"""What tuning found: decisions by what kernels compute, as a value and as tune.json."""

from .tuning import Tuned, Tuning, default_tunings, load_tuning, target_of, tuning_for

__all__ = ["Tuned", "Tuning", "default_tunings", "load_tuning", "target_of", "tuning_for"]
