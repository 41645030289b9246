"""Samples and targets for training, as the device reads them."""

from .arrays import Data, Source, load_data

__all__ = ["Data", "Source", "load_data"]
