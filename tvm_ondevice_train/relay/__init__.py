"""``relay.transform``: the training passes under the name that TVM users know."""

from . import transform

__all__ = ["transform"]
