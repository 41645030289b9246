"""How an .onnx file's nodes and tensors are spoken of."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from google.protobuf.message import Message

from ...errors import first_line

if TYPE_CHECKING:
    import onnx

_LONGEST = 80


def quoted(name: str) -> str:
    """A name of the file, between quotes, on one line and not too long."""
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in name)
    return f'"{shown}"' if len(shown) <= _LONGEST else f'"{shown[:_LONGEST]}..."'


def place(node: onnx.NodeProto) -> str:
    """``Conv (node "/conv1/Conv")``, by its result where a node has no name."""
    kind = node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"
    kind = quoted(kind)[1:-1]
    if node.name:
        return f"{kind} (node {quoted(node.name)})"
    return f"{kind} (giving {quoted(node.output[0])})" if node.output else kind


def numbers(shape: tuple[int, ...]) -> str:
    """``1x3x8x8``."""
    return "x".join(map(str, shape)) if shape else "one number"


def all_text(message: Message) -> bool:
    """Whether every name in it is text; protobuf gives what is not UTF-8 as bytes."""
    for field, value in message.ListFields():
        if field.type not in (field.TYPE_STRING, field.TYPE_MESSAGE):
            continue
        for one in [value] if isinstance(value, str | bytes | Message) else value:
            if isinstance(one, bytes) or (isinstance(one, Message) and not all_text(one)):
                return False
    return True


def word_of(element: str) -> str:
    """``float32`` of FLOAT: an element type by the name that NumPy has for it."""
    numpy_names = {"FLOAT": "float32", "DOUBLE": "float64", "": "no tensor of numbers"}
    return numpy_names.get(element, element.lower())


def said(error: Exception) -> str:
    """The first line of what ONNX's checker or inference says, without its tag."""
    return re.sub(r"^\[\w+\] ", "", first_line(error))
