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
from .reserved_names import NO_IDENTIFIERS

_FILES = ("model.h", "model.c", "model_data.h")
_GUARDS = ("ODT_MODEL_H", "ODT_MODEL_DATA_H")
# global, and compiled for each model; the latter where it keeps samples
_OF_RUNTIME = ("odt_save", "odt_load", "odt_forget", "odt_serve")
_OF_REPLAY = (
    *(f"odt_replay_{name}" for name in ("init", "add", "held", "draw", "read", "add_classes")),
    *("odt_train_replay", "odt_ring_open", "odt_ring_write", "odt_ring_read"),
)
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_NAME = re.compile(r"\b(?:odt|ODT)_\w+")
# a whole string stays as it is, if it is not the name of a file
_RENAMED = re.compile(r'"[^"\n]*"|\bstruct odt\b|\b(?:odt|ODT)_\w+')
_MAX_LENGTH = 24
# NAME_t is a type of C, NAME_ what the runtime's own names begin with, NAME what C++ begins with
_TAKEN = re.compile(
    r"odt(_.*)?|u?int(_?(least|fast)?\d+|max|ptr)|s?size|ptrdiff|w?char\d*|time|clock|std"
)


def wrong_prefix(prefix: str) -> str | None:
    """What is wrong with `prefix`, if anything is."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", prefix, re.ASCII) or len(prefix) > _MAX_LENGTH:
        return f"it must be a name in C of lower-case letters, at most {_MAX_LENGTH} of them"
    if prefix in NO_IDENTIFIERS or _TAKEN.fullmatch(prefix):
        return "C, C++, a compiler or the runtime has that name"
    return None


def with_prefix(files: Mapping[str, str], prefix: str, own: Collection[str] = ()) -> dict[str, str]:
    """`files` (model.h, model.c, model_data.h) as PREFIX_model.h ..., and model.h as an alias.

    own : names in C that come from the model; OdtError where one of them is also a renamed one.
    """
    declared = set(_NAME.findall(_COMMENT.sub("", files["model.h"]))) - {"ODT_MODEL_H"}
    compiled = (*_OF_RUNTIME, *(_OF_REPLAY if "ODT_REPLAY_SLOTS" in declared else ()))
    aliases = {name: _renamed(name, prefix) for name in sorted(declared.union(compiled))}
    clash = sorted(set(aliases.values()) & set(own))
    if clash:
        raise OdtError(f"prefix {prefix}: the model has something called {clash[0]}; take another")
    names = aliases | {name: _renamed(name, prefix) for name in _GUARDS}
    names |= {"struct odt": f"struct {prefix}"}
    names |= {f'"{file}"': f'"{prefix}_{file}"' for file in _FILES}
    renamed = {
        f"{prefix}_{file}": _RENAMED.sub(lambda found: names.get(found[0], found[0]), files[file])
        for file in _FILES
    }
    facts = {"prefix": prefix, "aliases": list(aliases.items())}
    return renamed | {"model.h": render(__package__, "model_alias.h", facts)}


def _renamed(name: str, prefix: str) -> str:
    word, rest = name.split("_", 1)
    return f"{prefix.upper() if word.isupper() else prefix}_{rest}"
