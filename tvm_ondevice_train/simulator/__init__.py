"""A model's training step in this process: bit for bit the device's, and faster."""

from .host_model import HostModel, host_model
from .rate_search import RateSearch, Trial, find_rate, search_rate
from .simulation import Simulation

__all__ = [
    "HostModel",
    "RateSearch",
    "Simulation",
    "Trial",
    "find_rate",
    "host_model",
    "search_rate",
]
