"""What the passes know of operators, a record each: `Operator`.

Operators that TVM lacks are registered as ``relax.odt.*``, with a type rule and a lowering to TE;
of TVM's own the records say what TVM does not. Importing this package enters them all.
"""

from . import (  # noqa: F401 - importing them registers their operators
    accumulation,
    channels,
    clipping,
    codes,
    convolution,
    cosine,
    elementwise,
    integer_gradient,
    layers,
    loss,
    masks,
    normalization,
    optimizer,
    pooling,
    precision,
    prelu,
    quantized,
    rearranging,
    script,
    spatial,
    update,
    weighted_likelihood,
)
