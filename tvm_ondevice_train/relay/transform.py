"""The training passes, and the optimizers that `SparseBackward` takes.

The IR is Relax: Relay left TVM in 0.20; the name is kept for its users.
"""

from relay_passes import *  # noqa: F403
from relay_passes.optimizers import SGD as SGD
from relay_passes.optimizers import Adam as Adam
from relay_passes.optimizers import AdamW as AdamW
from relay_passes.optimizers import Momentum as Momentum
from relay_passes.optimizers import Optimizer as Optimizer
