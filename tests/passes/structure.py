"""Modules compared by structure, and what a pass says of one that it refuses."""

from __future__ import annotations

import pytest
import tvm
from tvm import relax


def canonical(module: tvm.IRModule) -> tvm.IRModule:
    """Without the aliases that a builder leaves, and without what nothing reads."""
    passes = [relax.transform.CanonicalizeBindings(), relax.transform.DeadCodeElimination()]
    return tvm.transform.Sequential(passes)(module)


def assert_same(module: tvm.IRModule, expected: tvm.IRModule):
    tvm.ir.assert_structural_equal(canonical(module), canonical(expected), True)


def refusal(transform: tvm.transform.Pass, module: tvm.IRModule) -> str:
    """The last line of the ValueError that the pass raises."""
    with pytest.raises(ValueError) as caught:
        transform(module)
    return str(caught.value).splitlines()[-1]
