"""Where each buffer lies in the arena: pure functions from live ranges to one frozen plan."""

from .buffer import Buffer
from .check import check_plan
from .planner import MemoryPlan, plan

__all__ = ["Buffer", "MemoryPlan", "check_plan", "plan"]
