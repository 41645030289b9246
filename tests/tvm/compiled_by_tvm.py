"""Modules compiled by TVM for this computer, as any of its users would, and run."""

from __future__ import annotations

import numpy as np
import tvm
from tvm import relax


def run(
    module: tvm.IRModule, values: dict[str, np.ndarray], name: str = "main"
) -> list[np.ndarray]:
    """Results of function `name` for arguments by name."""
    machine = relax.VirtualMachine(tvm.compile(module, target="llvm"), tvm.cpu())
    arguments = [np.array(np.asarray(values[p.name]), order="C") for p in module[name].params]
    results = machine[name](*map(tvm.runtime.tensor, arguments))
    results = [results] if isinstance(results, tvm.runtime.Tensor) else list(results)
    return [result.numpy() for result in results]
