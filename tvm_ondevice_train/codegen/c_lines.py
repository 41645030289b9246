"""Lines of C that fit the page: code is broken where it binds least, comments between words."""

from __future__ import annotations

import itertools
import re
import textwrap

WIDTH = 100
_INDENT = 4  # of what continues a statement
_COMMENT = re.compile(r"^(\s*)/\* (.*) \*/$")
_IN_COMMENT = re.compile(r"^(\s*\*\s+)(.*)$")
_COMMENTED = re.compile(r"^(\s*)(.*\S)\s+(/\*.*\*/)$")
_BREAK = re.compile(
    r"(?<=[a-z0-9_]\()|(?<=[,;] )|(?<= [-+*/%&|^<>=] )|(?<= [-+*&|=!<>][&|=<>] )|(?<= )(?=[?:] )"
)
# where to break rather, among those in as many brackets
_LATE = {"|": 4, "^": 4, "&": 4, "<": 5, ">": 5, "+": 6, "-": 6, "*": 8, "/": 8, "%": 8}
_LATE |= {"||": 1, "&&": 2, "==": 3, "!=": 3, "<=": 3, ">=": 3, "<<": 7, ">>": 7}
_DEEPER = 10
_ASSIGN = ("=", "+=", "|=")


def fitted(text: str) -> str:
    """`text` with every line that is too long in several, if it has a place to be broken at."""
    return "\n".join(part for line in text.split("\n") for part in _fitted(line))


def _fitted(line: str) -> list[str]:
    if len(line) <= WIDTH or line.startswith("#"):
        return [line]
    if comment := _COMMENT.match(line):
        indent, words = comment.groups()
        return _filled(words + " */", indent + "/* ", indent + " * ")
    if comment := _IN_COMMENT.match(line):
        start, words = comment.groups()
        return _filled(words, start, start)
    if comment := _COMMENTED.match(line):
        indent, code, words = comment.groups()
        return [*_fitted(indent + words), *_fitted(indent + code)]
    return _broken(line, len(line) - len(line.lstrip()) + _INDENT, [])


def _filled(words: str, first: str, other: str) -> list[str]:
    """In a list with semicolons between the items none is broken."""
    if "; " in words:
        words = words.replace(" ", "\0").replace(";\0", "; ")
    lines = textwrap.wrap(
        words,
        WIDTH,
        initial_indent=first,
        subsequent_indent=other,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace("\0", " ") for line in lines]


def _broken(line: str, indent: int, around: list[int]) -> list[str]:
    """indent : of the lines that follow; around : columns behind the brackets that are open."""
    if len(line) <= WIDTH:
        return [line]
    places = [match.start() for match in _BREAK.finditer(line)]
    places = [place for place in places if line[:place].strip()]
    if not places:
        return [line]
    opened = {place: _opened(line[:place], around) for place in places}
    fitting = [place for place in places if len(line[:place].rstrip()) <= WIDTH] or places[:1]
    chooses = any(line[place] == "?" and not opened[place] for place in places)
    costs = {place: _DEEPER * len(opened[place]) + _late(line, place) for place in fitting}
    for place in fitting:
        if line[:place].split()[-1] in _ASSIGN:  # rather than in the value, if that then fits
            fits = indent + len(line) - place <= WIDTH
            costs[place] = -1 if fits else 1 if chooses else _DEEPER + 0.2
    place = min(fitting, key=lambda p: (costs[p], -p))
    columns = opened[place]
    if line[place - 1] == "(":
        columns[-1] = len(line) - len(line.lstrip()) + _INDENT
    if columns:
        longest = max(b - a for a, b in itertools.pairwise([*places, len(line)]) if a >= place)
        columns[-1] = min(columns[-1], max(indent, WIDTH - longest))
    start = columns[-1] if columns else indent
    rest = " " * start + line[place:]
    further = _INDENT if line[:place].endswith("= ") and not columns else 0
    return [line[:place].rstrip(), *_broken(rest, indent + further, columns)]


def _opened(text: str, around: list[int]) -> list[int]:
    columns = list(around)
    for position, char in enumerate(text):
        if char in "([":
            columns.append(position + 1)
        elif char in ")]":
            columns.pop()
    return columns


def _late(line: str, place: int) -> float:
    if line[place] in "?:":
        return 0.5 if line[place] == "?" else 0.6
    before = line[:place].split()[-1]
    return 0.5 if before.endswith("(") else _LATE.get(before, 0)
