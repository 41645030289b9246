"""The training passes. The IR is Relax: Relay left TVM in 0.20; the name is kept for its users."""

from relay_passes import *  # noqa: F403
