"""Another word than `odt` before all that a model's C makes global: several models, one program.

What model.h declares is renamed, with the files' names; functions of the runtime keep theirs, since
all models share it. A model.h that gives the usual names to the renamed ones goes with it, for what
is compiled once for each model: the store, the protocol, a project's program.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from ..errors import OdtError
from ..files.render import render

_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_NAME = re.compile(r"\b(odt|ODT)_\w+")
_DEFINED = re.compile(r"^#define (\w+)", re.MULTILINE)
# a whole string stays as it is, if it is not the name of a file
_RENAMED = re.compile(r'"[^"\n]*"|\b(?:odt|ODT)_\w+')
_FILES = ("model.h", "model.c", "model_data.h")
_OF_RUNTIME = ("odt_save", "odt_load", "odt_serve")  # global, and compiled for each model
_MAX_LENGTH = 24
# NAME_t and functions of these names are those of the C library or of the compiler
_TAKEN = re.compile(
    r"odt(_.*)?|u?int(_?(least|fast)?\d+|max|ptr)|s?size|ptrdiff|w?char\w*|time|clock"
)


def wrong_prefix(prefix: str) -> str | None:
    """What is wrong with `prefix`, if anything is."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", prefix, re.ASCII) or len(prefix) > _MAX_LENGTH:
        return f"it must be a name in C of lower-case letters, at most {_MAX_LENGTH} of them"
    return "C has names that begin so" if _TAKEN.fullmatch(prefix) else None


def with_prefix(files: Mapping[str, str], prefix: str, own: Collection[str] = ()) -> dict[str, str]:
    """`files` (model.h, model.c, model_data.h) as PREFIX_model.h ..., and model.h as an alias.

    own : names in C that come from the model; OdtError where one of them is also a renamed one.
    """
    code = _COMMENT.sub("", files["model.h"])
    names = {found[0]: _renamed(found[0], prefix) for found in _NAME.finditer(code)}
    names["ODT_MODEL_DATA_H"] = _renamed("ODT_MODEL_DATA_H", prefix)
    clash = sorted(set(names.values()) & set(own))
    if clash:
        raise OdtError(f"prefix {prefix}: the model has something called {clash[0]}; take another")
    names |= {f'"{file}"': f'"{prefix}_{file}"' for file in _FILES}
    renamed = {
        f"{prefix}_{file}": _RENAMED.sub(lambda found: names.get(found[0], found[0]), files[file])
        for file in _FILES
    }
    guard = "ODT_MODEL_H"
    aliases = [name for name in names if name.isidentifier() and name != guard]
    aliases += [name for name in _OF_RUNTIME]
    facts = {
        "prefix": prefix,
        "aliases": sorted((name, _renamed(name, prefix)) for name in aliases),
    }
    return renamed | {"model.h": render(__package__, "model_alias.h", facts)}


def _renamed(name: str, prefix: str) -> str:
    word, rest = name.split("_", 1)
    return f"{prefix.upper() if word.isupper() else prefix}_{rest}"
