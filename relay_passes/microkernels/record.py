"""What is known of a microkernel of the runtime (runtime/c/include/odt_*.h): one record each.

A record is made where its arguments are: the function that computes them, under the name that the
microkernel has in C.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tvm import tirx

from .nest import Nest, Unfit, check

MARK = "pragma_microkernel"  # of the loop that is the head of a nest, or of a block without loops
# what nests are for
START = "start of sums"
COLUMN_SUMS, PLANE_SUMS = "sums over columns", "sums over a plane"
PLANES, ROWS = "columns of planes", "columns of rows"  # whose rows are neighbours in what is read
PLANE, TAPS, TURNED, PHASES = "plane", "taps", "turned taps", "taps of phases"
RESULTS = "results of sums"
ROW_SUMS, ELEMENTS = "sums of rows", "elements"
ANY = ""  # of no role: chosen by name


@dataclass(frozen=True)
class Microkernel:
    """name : of the C function. header : what generated C includes for it.

    role : what the nest is for, and `forms` : what it computes (see `form_of`), by which
    `chosen` finds it. Without forms it computes anything.
    arguments : (nest, *operands of its form) -> the arguments of the call, or a statement in the
    place of a call; raises Unfit.
    gives_order : whether it decides how scratch that others fill must lie.
    macs : constant arguments, 0 for others -> multiply-accumulates.
    watches : whether it reports numbers that are not finite.
    """

    name: str
    header: str
    role: str
    forms: tuple[str, ...]
    arguments: Callable
    macs: Callable[..., int] | None = None
    watches: bool = False

    def statement(self, nest: Nest):
        """What stands for the nest."""
        try:
            form = nest.form
            check(not self.forms or form.text in self.forms, f"it would compute {form.text}")
            arguments = self.arguments(nest, *form.operands)
        except Unfit as unfit:
            raise Unfit(f"{self.name}: {unfit}") from None
        if not isinstance(arguments, list):
            return arguments
        return tirx.Evaluate(tirx.call_extern("int32", self.name, *arguments))


RECORDS: dict[str, Microkernel] = {}
_BY_FORM: dict[tuple[str, str], str] = {}


def microkernel(header: str, role: str, *forms: str, macs=None, watches: bool = False):
    """Make a record of a function (nest, *operands) -> arguments."""

    def record(arguments):
        name = arguments.__name__
        assert name not in RECORDS and not any((role, form) in _BY_FORM for form in forms)
        RECORDS[name] = Microkernel(name, header, role, forms, arguments, macs, watches)
        _BY_FORM.update({(role, form): name for form in forms})
        return arguments

    return record


def chosen(role: str, form: str) -> str | None:
    """The microkernel that computes this, for that role."""
    return _BY_FORM.get((role, form))
