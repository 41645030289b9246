"""``relay.transform``: the training passes under the name that TVM users know.

Importing this makes TVM know our operators: `tvm.ir.load_json` and `tvm.script.from_source` then
read training steps that were saved elsewhere, and ``relax.get_pipeline("odt_training")`` is there.
Without it TVM says ``Operator relax.odt.<name> is not registered``.
"""

from . import transform

__all__ = ["transform"]
