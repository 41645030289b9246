"""What is known of a microkernel of the runtime (runtime/c/include/odt_*.h): one record each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

from tvm import tirx

from .formula import Formula, Solution
from .nest import Nest, Unfit, check

MARK = "pragma_microkernel"  # of the loop that is the head of a nest, or of a block without loops
# what nests are for
START = "start of sums"
COLUMN_SUMS, PLANE_SUMS = "sums over columns", "sums over a plane"
PLANES, ROWS = "columns of planes", "columns of rows"  # whose rows are neighbours in what is read
PLANE, TAPS, TURNED, PHASES = "plane", "taps", "turned taps", "taps of phases"
RESULTS, ROW_SUMS, ELEMENTS = "results of sums", "sums of rows", "elements"
ANY = "anything"  # chosen by name


@dataclass(frozen=True)
class Microkernel:
    """name : of the C function; header : what generated C includes for it.

    words : its arguments: names of operands or numbers of its formulas.
    role, formulas : what a nest is for and computes, by which `chosen` finds the record.
    before : nest -> numbers that are known before the formula is solved.
    beside : (solution) -> what is to be checked or done beside it.
    instead : nest -> what stands for it where no call does, or None.
    macs : arguments by their words -> multiply-accumulates.
    watches : whether it reports numbers that are not finite.
    """

    name: str
    words: tuple[str, ...]
    header: str
    role: str
    formulas: dict[str, Formula]
    before: Callable[[Nest], dict] = lambda nest: {}
    beside: Callable[[Solution], None] = lambda solution: None
    instead: Callable[[Nest], object] = lambda nest: None
    macs: Callable[[SimpleNamespace], int] | None = None
    watches: bool = False

    def statement(self, nest: Nest):
        """What stands for a nest; raises Unfit."""
        try:
            if (statement := self.instead(nest)) is not None:
                return statement
            formula = self.formulas.get(nest.form.text)
            check(formula is not None, f"it would compute {nest.form.text}")
            solution = Solution(formula, nest, self.before(nest))
            self.beside(solution)
        except Unfit as unfit:
            raise Unfit(f"{self.name}: {unfit}") from None
        arguments = solution.arguments(self.words)
        return tirx.Evaluate(tirx.call_extern("int32", self.name, *arguments))


RECORDS: dict[str, Microkernel] = {}
_BY_FORM: dict[tuple[str, str], str] = {}


def record(signature: str, header: str, role: str, *formulas: str, **facts) -> None:
    """Make the record of ``odt_name(word, ...)``."""
    name, words = signature[:-1].split("(")
    parsed = {formula.form: formula for formula in map(Formula, formulas)}
    RECORDS[name] = Microkernel(name, tuple(words.split(", ")), header, role, parsed, **facts)
    _BY_FORM.update({(role, form): name for form in parsed})


def chosen(role: str, form: str) -> str | None:
    """The microkernel that computes this, for that role."""
    return _BY_FORM.get((role, form))


def macs_of(call) -> int:
    """Multiply-accumulates of one call of a microkernel; 0 for one that only moves data."""
    name, *arguments = call.args
    found = RECORDS.get(str(name.value))
    if found is None or found.macs is None:
        return 0
    sizes = (int(a) if isinstance(a, tirx.IntImm) else None for a in arguments)
    return found.macs(SimpleNamespace(**dict(zip(found.words, sizes, strict=True))))
