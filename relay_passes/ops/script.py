"""``R.odt`` of TVMScript: our operators, called as the printer writes them.

So a training step that was printed is read again, and can be written by hand::

    from tvm.script import relax as R

    R.odt.interval_mask(x, low=0.0, high=6.0)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tvm import relax
from tvm.relax import script
from tvm.relax.script import builder, parser

from .registry import call, signatures


class Operators:
    """A function for each operator ``relax.odt.<name>``: operands, then attributes by name."""

    def __getattr__(self, name: str) -> Callable[..., relax.Call]:
        if name not in signatures():
            raise AttributeError(f"R.odt has no operator {name}; dir(R.odt) lists those there are")

        def operator(*operands: relax.Expr, **attributes: object) -> relax.Call:
            return call(name, *operands, **attributes)

        operator.__name__ = name
        operator.__signature__ = signatures()[name]  # type: ignore[attr-defined]
        return operator

    def __dir__(self) -> Iterable[str]:
        return sorted(signatures())


for _dialect in (script, parser, builder):  # what R is, in all the ways to import it
    _dialect.odt = Operators()
