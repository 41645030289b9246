"""What a run found of each class, as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

_MOST = 12  # classes that are shown side by side
_WORST = 10  # of more, those that were recognized least


def class_table(result: Mapping[str, Any]) -> Table | None:
    """Count, recall, precision, and what was taken for what; None where there are no classes."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    rows, confusion = result.get("classes"), result.get("confusion") or ()
    if rows is None:
        return None
    is_small = 0 < len(confusion) <= _MOST
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("class")
    for heading in ("count", "recall", "precision"):
        table.add_column(heading, justify="right")
    if is_small:
        table.add_column("taken for", justify="right")
        for row in rows[1:]:
            table.add_column(str(row["class"]), justify="right")
        table.columns[4].header = "taken for 0"
    shown = rows if is_small else sorted(rows, key=_recall)[:_WORST]
    for row in shown:
        cells = [
            f"{row['class']} {row.get('name', '')}".strip(),
            f"{row['count']:,}",
            _percent(row["recall"]),
        ]
        cells.append(_percent(row["precision"]))
        if is_small:
            cells += [str(n) if n else "." for n in confusion[row["class"]]]
        table.add_row(*cells)
    if not is_small:
        table.caption = f"the {len(shown)} worst of {len(rows):,}"
    return table


def _recall(row: Mapping[str, Any]) -> float:
    return 2.0 if row["recall"] is None else row["recall"]


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"
