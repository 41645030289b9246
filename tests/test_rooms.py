"""Each room imports no more than docs/architecture.md allows, and lies in the table at all."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("relay_passes", "tvm_ondevice_train")
ALWAYS = {"errors"}
_ABOVE = "all of the above"


def tables() -> dict[str, dict[str, set[str]]]:
    """Package -> room -> what it may import, as the document says."""
    found: dict[str, dict[str, set[str]]] = {}
    rooms: dict[str, set[str]] = {}
    for line in (ROOT / "docs/architecture.md").read_text().splitlines():
        if heading := re.fullmatch(r"### (\w+)", line):
            rooms = found.setdefault(heading[1], {})
        if row := re.fullmatch(r"\| `(\w+)` \|.*\|([^|]*)\|", line):
            allowed = set(re.findall(r"`(\w+)`", row[2]))
            if _ABOVE in row[2]:
                allowed |= {*rooms, "relay_passes"}
            rooms[row[1]] = allowed
    return found


TABLES = tables()


def modules(package: str):
    """(path, its package as a list of names, its room) of every module in a room."""
    for path in sorted((ROOT / package).rglob("*.py")):
        names = list(path.relative_to(ROOT).with_suffix("").parts)
        if len(names) > 2 or names[1] not in ("__init__", "__main__"):
            yield path, names[:-1], names[1]


def imported(path: Path, package: list[str]):
    """Absolute names of what a module imports, with each imported name behind its module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = base + (node.module.split(".") if node.module else [])
            yield from ([*base, alias.name] for alias in node.names)


def test_the_document_lists_every_room():
    assert set(TABLES) == set(PACKAGES)
    for package, rooms in TABLES.items():
        assert {room for _, _, room in modules(package)} == set(rooms)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_room_imports_what_it_may(package):
    rooms, wrong = TABLES[package], []
    for path, own, room in modules(package):
        for name in imported(path, own):
            if name[0] not in PACKAGES or len(name) < 2:
                continue  # the package itself: what it exports, on first use
            used = name[1] if name[0] == package else name[0]
            if used in {room, *ALWAYS} | rooms[room]:
                continue
            if used in rooms or used in PACKAGES:
                wrong.append(f"{path.relative_to(ROOT)} imports {'.'.join(name)}")
    assert not wrong, "\n".join(wrong)


def test_rooms_of_the_passes_do_not_import_in_a_circle():
    rooms = list(TABLES["relay_passes"])
    for place, room in enumerate(rooms):
        assert TABLES["relay_passes"][room] <= {*rooms[:place], "relay_passes"}
