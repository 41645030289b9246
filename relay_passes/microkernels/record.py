"""What is known of a microkernel of the runtime (runtime/c/include/odt_*.h): one record each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..runtime_call import statement_of_runtime
from ..tir import tirx
from .formula import Formula, Solution
from .nest import Nest, Unfit, check

MARK = "pragma_microkernel"  # of the loop that is the head of a nest, or of a block without loops


@dataclass(frozen=True)
class Microkernel:
    """name : of the C function; header : what generated C includes for it.

    words : its arguments: names of operands or numbers of its formulas.
    formulas : what it computes, by form (see `form_of`).
    fills : how it arranges what it fills scratch with, whose sizes are numbers of its formulas.
    beside : of the solution; checks, and finds further numbers.
    otherwise : nest -> what stands for one that is not all of its scratch, as where loops were cut
        or conditions that should have cut them are left, or that no formula describes.
    watches : whether it reports numbers that are not finite.
    """

    name: str
    header: str
    words: list[str]
    formulas: dict[str, Formula]
    fills: type[Any] | None = None
    beside: Callable[[Solution], object] = lambda solution: None
    otherwise: Callable[[Nest], tirx.Stmt] | None = None
    watches: bool = False

    def statement(self, nest: Nest) -> tirx.Stmt:
        """What stands for a nest; raises Unfit."""
        try:
            formula = self.formulas.get(nest.form.text)
            if self.otherwise and not (formula and nest.is_whole()):
                return self.otherwise(nest)
            if formula is None:
                raise Unfit(f"it would compute {nest.form.text}")
            sizes = vars(nest.filled_as(self.fills)) if self.fills else {}
            named = zip(formula.operands, nest.form.operands, strict=True)
            subtracts = any(each.addend for name, each in named if name in formula.walks)
            check("zero_point" in self.words or not subtracts, "it subtracts no zero point")
            solution = Solution(formula, nest, sizes)
            self.beside(solution)
        except Unfit as unfit:
            raise Unfit(f"{self.name}: {unfit}") from None
        return statement_of_runtime(self.name, *solution.arguments(self.words))


RECORDS: dict[str, Microkernel] = {}
_BY_FORM: dict[tuple[str, str], str] = {}


def records(header: str, table: str, **facts: dict[str, Any]) -> None:
    """Make the records of a header.

    table : for each microkernel ``for what: odt_name(word, ...)``, and in lines of their own its
        formulas.
    facts : of some, by name, what else a `Microkernel` has.
    """
    for entry in table.strip().split("\n\n"):
        head, *lines = entry.splitlines()
        role, signature = head.split(": ")
        name, words = signature[:-1].split("(")
        formulas = {formula.form: formula for formula in map(Formula, map(str.strip, lines))}
        taken = [form for form in formulas if (role, form) in _BY_FORM]
        assert not taken, f"{name}: for {role} there is a microkernel of {taken}"
        RECORDS[name] = Microkernel(
            name, header, words.split(", "), formulas, **facts.get(name, {})
        )
        _BY_FORM.update({(role, form): name for form in formulas})


def chosen(role: str, form: str) -> str | None:
    """The microkernel that computes this, for that role."""
    return _BY_FORM.get((role, form))
