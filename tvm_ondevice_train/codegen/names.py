"""Names of a model as they may stand in C."""

from __future__ import annotations

MAX_LENGTH = 63  # characters of an identifier that count in C99; the end of a name says most
# what a parameter or a kernel must not be called in C: keywords of C and C++, names that the
# generated code uses itself, and library functions that compilers know without a header
_RESERVED = frozenset(
    """
    alignas alignof and asm auto bitand bitor bool break case catch char class compl const constexpr
    continue decltype default delete do double else enum explicit export extern false float for
    friend goto if inline int long mutable namespace new noexcept not nullptr operator or private
    protected public register restrict return short signed sizeof static static_assert struct switch
    template this throw true try typedef typeid typename union unsigned using virtual void volatile
    wchar_t while xor
    arena arena_bytes destination forward input learning_rate loss not_finite odt output params
    place_input seed target
    abs ceil cos erf exp floor index labs log main memcpy memmove memset pow printf round sin sqrt
    tan tanh
    """.split()
)
_RESERVED_PREFIXES = ("odt_", "ODT_", "initial_", "INT", "UINT")


def identifier(name: str, taken: set[str]) -> str:
    """A C identifier for `name` that is not in `taken`, which it joins."""
    base = plain_identifier(name)[-MAX_LENGTH:]
    if not base[:1].isalpha() or base in _RESERVED or base.startswith(_RESERVED_PREFIXES):
        base = f"p_{base}"
    candidate, count = base, 1
    while candidate in taken:
        count += 1
        candidate = f"{base}_{count}"
    taken.add(candidate)
    return candidate


def plain_identifier(name: str) -> str:
    """`name` in the characters of a C identifier."""
    return "".join(c if c.isalnum() and c.isascii() else "_" for c in name)


def plain(text: str) -> str:
    """`text` as it may stand in a comment or a string of C; a model's names can be anything."""
    legal = (c if c.isascii() and c.isprintable() and c not in '*?"\\' else "_" for c in text)
    return "".join(legal)


def shortened(text: str, most: int) -> str:
    """`text` in at most so many characters."""
    return text if len(text) <= most else text[: most - 3] + "..."
