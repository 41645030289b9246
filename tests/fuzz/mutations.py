"""Damage of model files: of their bytes, and of their fields, which a reader believes.

A file is known by its kind and a number: the same number gives the same file.
"""

from __future__ import annotations

import functools
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, EncodeError, Message
from model_seeds import seeds

NUMBERS = (
    0,
    1,
    -1,
    2,
    3,
    7,
    127,
    128,
    -128,
    255,
    256,
    65536,
    2**31 - 1,
    2**31,
    -(2**31),
    2**63 - 1,
)
REALS = (0.0, -1.0, 1e-45, 3e38, 1e300, float("nan"), float("inf"), float("-inf"))
TEXTS = ("", "x", "y", "w", "main", "NULL", "int8_t", "a\0b", "a\nb", "../../x", "é" * 300, "%s{}")
_AMOUNT = 3  # at most so many changes a file


def mutated(kind: str, number: int) -> bytes:
    """File `number` of `kind`: a seed, changed once or a few times."""
    random = Random(f"{kind} {number}")
    content = random.choice(list(_seeds(kind).values()))
    change = random.choice((_bytes, *[_FIELDS[kind]] * 3))
    for _ in range(random.randint(1, _AMOUNT)):
        content = change(content, random)
    return content


@functools.cache
def _seeds(kind: str) -> Mapping[str, bytes]:
    return seeds(kind)


def _bytes(content: bytes, random: Random) -> bytes:
    """One of: a bit, a byte, a run of bytes, a piece that is missing, doubled or moved, the end."""
    if not content:
        return bytes([random.randrange(256)])
    at, to = sorted(random.randrange(len(content)) for _ in range(2))
    piece = content[at : min(to, at + 64)]
    changed = bytearray(content)
    way = random.randrange(6)
    if way == 0:
        changed[at] ^= 1 << random.randrange(8)
    elif way == 1:
        changed[at] = random.choice((0, 1, 0x7F, 0x80, 0xFF))
    elif way == 2:
        changed[at : at + len(piece)] = random.randbytes(len(piece))
    elif way == 3:
        del changed[at : at + len(piece)]
    elif way == 4:
        changed[to:to] = piece
    else:
        del changed[to:]
    return bytes(changed)


def _onnx_field(content: bytes, random: Random) -> bytes:
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError:
        return _bytes(content, random)
    message, field = random.choice(list(_fields(model)))
    try:
        _change_field(message, field, random)
        return model.SerializeToString()
    except (ValueError, TypeError, EncodeError, UnicodeError):  # no protobuf holds that
        return content


def _fields(message: Message):
    """Every field of a message and of those in it; unset ones that hold no message, too."""
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.type != FieldDescriptor.TYPE_MESSAGE:
            yield message, field
        elif _repeats(field):
            if len(value):
                yield message, field
            for element in value:
                yield from _fields(element)
        elif message.HasField(field.name):
            yield from _fields(value)


def _repeats(field: FieldDescriptor) -> bool:
    if hasattr(field, "is_repeated"):  # of newer protobuf, which warns of the other
        return field.is_repeated
    return field.label == FieldDescriptor.LABEL_REPEATED


def _change_field(message: Message, field: FieldDescriptor, random: Random) -> None:
    value = getattr(message, field.name)
    if not _repeats(field):
        setattr(message, field.name, _scalar(value, message, field.name, random))
        return
    at = random.randrange(len(value)) if len(value) else 0
    way = random.randrange(3) if len(value) else 1
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        if way == 0:
            del value[at]
        elif way == 1:
            value.add().CopyFrom(value[at])
        else:
            value[at].CopyFrom(random.choice(list(value)))
    elif way == 0:
        del value[at]
    elif way == 1:
        default = value[at] if len(value) else _DEFAULTS[field.cpp_type]
        value.append(_scalar(default, message, field.name, random))
    else:
        value[at] = _scalar(value[at], message, field.name, random)


_DEFAULTS = {
    **dict.fromkeys((FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64), 0),
    **dict.fromkeys((FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64), 0),
    **dict.fromkeys((FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE), 0.0),
    FieldDescriptor.CPPTYPE_STRING: "",
    FieldDescriptor.CPPTYPE_ENUM: 0,
}


def _scalar(value: Any, message: Message, name: str, random: Random) -> Any:
    if name == "op_type":
        return random.choice(_operators())
    return _other(value, random)


@functools.cache
def _operators() -> tuple[str, ...]:
    return tuple(sorted({schema.name for schema in onnx.defs.get_all_schemas()}))


def _other(value: Any, random: Random) -> Any:
    """Another value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return random.choice((*NUMBERS, value + 1, value - 1, -value))
    if isinstance(value, float):
        return random.choice((*REALS, -value))
    if isinstance(value, bytes):
        return _bytes(value, random)
    return random.choice((*TEXTS, value + "_", value.upper()))


def _tflite_field(content: bytes, random: Random) -> bytes:
    """An aligned number: a field, an offset, a length, an entry of a vtable."""
    width = random.choice((1, 2, 4, 4, 4))
    if len(content) < 2 * width:
        return _bytes(content, random)
    at = random.randrange(len(content) // width) * width
    old = int.from_bytes(content[at : at + width], "little")
    new = random.choice((*NUMBERS, old + 1, old - 1, old + 4, old - 4)) % (1 << 8 * width)
    return content[:at] + new.to_bytes(width, "little") + content[at + width :]


def _pt2_field(content: bytes, random: Random) -> bytes:
    """A value in one of the archive's JSON files, or bytes of another member, checksums right."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, OSError):
        return _bytes(content, random)
    if not members:
        return _bytes(content, random)
    texts = [name for name in members if name.endswith(".json")]
    name = random.choice([*texts * 4, *members])
    way = random.randrange(12)
    if way == 0:
        del members[name]
    elif way == 1:
        members[name + random.choice(("x", "/", ".json"))] = members[name]
    else:
        members[name] = (
            _json(members[name], random) if name in texts else _bytes(members[name], random)
        )
    rebuilt = io.BytesIO()
    with zipfile.ZipFile(rebuilt, "w") as archive:
        for member, data in members.items():
            archive.writestr(zipfile.ZipInfo(member), data)
    return rebuilt.getvalue()


def _json(content: bytes, random: Random) -> bytes:
    try:
        tree = json.loads(content)
    except ValueError:
        return _bytes(content, random)
    places = list(_places(tree))
    if not places:
        return _bytes(content, random)
    holder, key = random.choice(places)
    way = random.randrange(5)
    if way == 0:
        del holder[key]
    elif way == 1:
        holder[key] = random.choice((None, [], {}, "", 0, -1, True, 1e300, "x", [[]], {"x": None}))
    elif way == 2 and isinstance(holder, list):
        holder.insert(key, holder[key])
    elif isinstance(holder[key], (bool, int, float, str)):
        holder[key] = _other(holder[key], random)
    return json.dumps(tree).encode()


def _places(tree: Any):
    """Each (list or dictionary, key) in a tree."""
    if isinstance(tree, (list, dict)):
        for key, value in enumerate(tree) if isinstance(tree, list) else tree.items():
            yield tree, key
            yield from _places(value)


_FIELDS: dict[str, Callable[[bytes, Random], bytes]] = {
    "onnx": _onnx_field,
    "tflite": _tflite_field,
    "pt2": _pt2_field,
}
