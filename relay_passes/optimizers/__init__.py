"""Optimizers: how trained values follow their gradients. A file each; importing enters them all.

No TVM is loaded here, so that the command line can list them at once.
"""

from .accumulation import (
    ACCUMULATORS,
    MOST_SAMPLES,
    Accumulation,
    BatchTensors,
    GradientSum,
    batch_tensors,
)
from .adam import Adam, AdamW
from .blocks import STATE_DTYPES, blocks_of
from .inputs import Inputs, inputs_of
from .momentum import Momentum
from .optimizer import (
    OPTIMIZERS,
    HyperParameter,
    Optimizer,
    State,
    defaults_of,
    hyperparameters,
    optimizer_of,
    owners_of,
)
from .sgd import SGD

HYPERPARAMETERS = hyperparameters(OPTIMIZERS.values())

__all__ = [
    "ACCUMULATORS",
    "HYPERPARAMETERS",
    "MOST_SAMPLES",
    "OPTIMIZERS",
    "SGD",
    "STATE_DTYPES",
    "Accumulation",
    "Adam",
    "AdamW",
    "BatchTensors",
    "GradientSum",
    "HyperParameter",
    "Inputs",
    "Momentum",
    "Optimizer",
    "State",
    "batch_tensors",
    "blocks_of",
    "defaults_of",
    "inputs_of",
    "optimizer_of",
    "owners_of",
]
