"""Files of ``torch.export.save`` as data: none of their code is run.

`torch.export.load` unpickles parts of the archive, loads shared libraries out of it, evaluates
expressions and guards, and takes any attribute of `torch` for an operator. So the archive is looked
through, and what PyTorch reads is another one, made of the parts that were found harmless.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import OdtError, last_line, one_line

if TYPE_CHECKING:
    from torch.export import ExportedProgram

LARGEST = 2**30  # bytes of an archive, unpacked, and of its tensors

# within the folder that all of an archive lies in; the last row is of PyTorch up to 2.7
_TEXTS = r"archive_format|archive_version|version|byteorder|\.data/\w+"
_RAW = r"data/(weights/weight|constants/tensor)_\d+"
_GRAPHS = r"models/[^/]+\.json|serialized_exported_program\.json"
_CONFIGS = r"data/(weights|constants)/[^/]+_config\.json"
_PICKLES = r"data/(weights|constants)/[^/]+\.pt|serialized_(state_dict|constants)\.pt"
_EXAMPLES = r"data/sample_inputs/[^/]+\.pt|serialized_example_inputs\.pt"
_IGNORED = r"extra/.*|extra_files/.*"

_OPERATOR = re.compile(
    r"torch\.ops\.aten\.(?!from_file\b)\w+\.\w+"
    r"|torch\.ops\.higher_order\.wrap_with_set_grad_enabled"
    r"|_operator\.(getitem|add|sub|mul|floordiv|mod|neg|eq|ne|lt|le|gt|ge)"
)
# words of an expression of sizes, which PyTorch evaluates as Python; powers could take for ever
_WORD = re.compile(
    r"[a-z]{1,3}\d{1,6}|\d{1,18}|['+\-*/(),=<>]|Symbol|Integer|Mul|Add|Max|Min|Mod|PythonMod|FloorDiv"
    r"|CleanDiv|CeilDiv|Eq|Ne|Ge|Gt|Le|Lt|integer|positive|nonnegative|True|False"
)


class _RefusedError(Exception):
    """Why an archive is not read."""


def read_pt2(path: Path) -> ExportedProgram:
    """The program in a .pt2 file, without example inputs and extra files.

    Raises OdtError for one that is damaged, larger than `LARGEST`, or would run code.
    """
    import torch

    try:
        return torch.export.load(io.BytesIO(_harmless(path)))
    except _RefusedError as error:
        raise OdtError(f"{path.name}: {error}") from None
    except Exception as error:  # PyTorch raises many types for a file that is not its own
        raise OdtError(f"{path.name}: not a torch.export file ({last_line(error)})") from None


def _harmless(path: Path) -> bytes:
    """The archive again, of the members that PyTorch needs, each of them checked."""
    result = io.BytesIO()
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(result, "w") as made:
        members = archive.infolist()
        if sum(member.file_size for member in members) > LARGEST:
            raise _RefusedError(f"it unpacks to more than {LARGEST} bytes")
        if len({member.filename for member in members}) < len(members):
            raise _RefusedError("the archive has two members of one name")
        for member in members:
            if member.flag_bits & 1:
                raise _RefusedError("the archive is encrypted; save it without a password")
            content = _checked(member.filename, archive.read(member))
            if content is not None:
                made.writestr(member.filename, content)
    return result.getvalue()


def _checked(member: str, content: bytes) -> bytes | None:
    """What PyTorch shall find under the name `member`; None for nothing."""
    name = member if member.startswith("serialized_") else member.partition("/")[2] or member
    if re.fullmatch(_IGNORED, name):
        return None
    if re.fullmatch(_EXAMPLES, name):
        return b""  # a pickle that nobody needs
    if re.fullmatch(_GRAPHS, name):
        return json.dumps(_graph(json.loads(content))).encode()
    if re.fullmatch(_CONFIGS, name):
        _check_config(json.loads(content))
    elif re.fullmatch(_PICKLES, name):
        _check_pickle(member, content)
    elif not re.fullmatch(f"{_TEXTS}|{_RAW}", name):
        raise _RefusedError(
            f'it holds "{one_line(member)}", which is more than data (compiled code, or an object '
            "of Python); save the model again with torch.export.save, of tensors alone"
        )
    return content


def _graph(program: dict[str, Any]) -> dict[str, Any]:
    """A serialized program whose operators and expressions are what they look like."""
    for table in _tables(program):
        target = str(table.get("target"))
        if "inputs" in table and "target" in table and not _OPERATOR.fullmatch(target):
            raise _RefusedError(f'operator "{one_line(target)}" is none of torch.ops.aten')
        expression = str(table.get("expr_str", ""))
        words = re.findall(r"\w+|\*\*|\S", expression)
        if len(words) > 500 or not all(map(_WORD.fullmatch, words)):
            raise _RefusedError(f'"{one_line(expression)}" is no expression of sizes')
    return program | {"guards_code": []} if "guards_code" in program else program


def _check_config(config: dict[str, Any]) -> None:
    """Tensors that are raw bytes, no more of them than there may be."""
    elements = 0
    for name, payload in config["config"].items():
        if payload["use_pickle"] or not re.fullmatch(r"(weight|tensor)_\d+", payload["path_name"]):
            raise _RefusedError(
                f'"{one_line(name)}" is pickled, and reading it would run code of the file; '
                "save the model with ordinary tensors"
            )
        count = 1
        for size in payload["tensor_meta"]["sizes"]:
            count *= int(size["as_int"])
        elements += count
    if elements > LARGEST // 4:
        raise _RefusedError(f"its tensors have {elements} elements, at most {LARGEST // 4} do")


def _check_pickle(member: str, content: bytes) -> None:
    import torch

    try:
        torch.load(io.BytesIO(content), weights_only=True)
    except Exception:
        raise _RefusedError(
            f'"{one_line(member)}" is a pickle of more than tensors, and reading it would run code '
            "of the file; save the model again with torch.export.save"
        ) from None


def _tables(value: Any) -> Iterator[dict[str, Any]]:
    """All dictionaries in a JSON value."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _tables(item)
