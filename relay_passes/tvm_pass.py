"""How a class becomes a pass of TVM, and how type checkers see it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import tvm

from .tir import tirx

PREFIX = "odt."  # of names in instruments: TVM has a LegalizeOps, too

Class = TypeVar("Class", bound=type)
Arguments = ParamSpec("Arguments")
Made = tuple[Callable[..., Any], tuple[Any, ...]]  # as `__reduce__` wants it


class Pass:
    """Base of the classes that `module_pass` and `prim_func_pass` decorate."""

    if TYPE_CHECKING:

        def __call__(self, module: tvm.IRModule) -> tvm.IRModule: ...


def module_pass(cls: Class) -> Class:
    """A pass from a class with ``transform_module(module, context) -> module``.

    Instruments see ``odt.<class>``; it can be pickled and copied, with its arguments.
    """
    return _pass_from(cls, tvm.transform.module_pass)


def prim_func_pass(cls: Class) -> Class:
    """The same from one with ``transform_function(function, module, context) -> function``."""
    return _pass_from(cls, tirx.transform.prim_func_pass)


def _pass_from(cls: Class, decorate: Callable[..., Callable[[Class], Any]]) -> Class:
    made: Any = decorate(opt_level=0, name=PREFIX + cls.__name__)(cls)
    made.__qualname__ = cls.__qualname__  # pickle finds the class by it
    construct = made.__init__

    @wraps(construct)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        construct(self, *args, **kwargs)
        self._arguments = args, kwargs

    def __reduce__(self: Any) -> Made:
        args, kwargs = self._arguments
        return partial(made, **kwargs), args

    made.__init__, made.__reduce__ = __init__, __reduce__
    return made


def sequence(
    function: Callable[Arguments, list[tvm.transform.Pass]],
) -> Callable[Arguments, tvm.transform.Pass]:
    """One pass from a function that gives several in their order; named and pickled as above."""

    @wraps(function)
    def make(*args: Arguments.args, **kwargs: Arguments.kwargs) -> tvm.transform.Pass:
        return _Sequence(
            function(*args, **kwargs), function.__name__, (partial(make, **kwargs), args)
        )

    return make


class _Sequence(tvm.transform.Sequential):
    """A sequence that knows how it was made."""

    def __init__(self, passes: list[tvm.transform.Pass], name: str, made: Made) -> None:
        super().__init__(passes, name=PREFIX + name)
        self._made = made

    def __reduce__(self) -> Made:
        return self._made
