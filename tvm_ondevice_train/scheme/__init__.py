"""What trains: schemes, the choice of channels, and a numbering in which they lie side by side."""

from .update_scheme import Channels, UpdateScheme

__all__ = ["Channels", "UpdateScheme"]
