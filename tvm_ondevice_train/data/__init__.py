"""Samples and targets for training, as the device reads them."""

from .loading import Source, load_data, load_inputs
from .reading import Reading
from .value import Data

__all__ = ["Data", "Reading", "Source", "load_data", "load_inputs"]
