"""A model's training step in this process: bit for bit the device's, and faster."""

from .host_model import HostModel, host_model
from .simulation import Simulation

__all__ = ["HostModel", "Simulation", "host_model"]
