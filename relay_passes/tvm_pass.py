"""A pass as type checkers see it: what TVM's decorators make of a class is hidden from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tvm


class Pass:
    """Base of the classes that `tvm.transform.module_pass` and the like decorate."""

    if TYPE_CHECKING:

        def __call__(self, module: tvm.IRModule) -> tvm.IRModule: ...
