"""Relax operators that TVM lacks, registered from Python as ``relax.odt.*``.

Each has a type rule and a lowering to TE; importing this package registers them all.
"""

from . import (  # noqa: F401
    channels,
    convolution,
    loss,
    masks,
    pooling,
    precision,
    quantized,
    update,
)
