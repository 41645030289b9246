"""An .onnx file with the data that lies beside it, read as what a stranger may have written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from ...errors import ModelError, Obstacle, OdtError
from .shapes import MOST_TENSOR_BYTES
from .words import quoted

MOST_FILE_BYTES = 2**31 - 1  # what protobuf reads


def read_onnx(path: Path) -> onnx.ModelProto:
    """The model, with external data in it. Raises OdtError for what is no ONNX file."""
    try:
        if path.stat().st_size > MOST_FILE_BYTES:
            raise OdtError(f"{path.name}: it is larger than 2 GB; no microcontroller holds that")
        proto = onnx.ModelProto.FromString(path.read_bytes())
    except (DecodeError, UnicodeDecodeError, OSError) as error:
        raise OdtError(f"{path.name}: not a valid ONNX file ({error})") from None
    if not proto.graph.node:
        raise OdtError(f"{path.name}: not a valid ONNX file (it holds no operators)")
    obstacles = []
    for where, tensor in _tensors(proto):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            found = _fetch(tensor, path.parent)
            if found:
                cure = "export the model with its weights in one file, or copy both files"
                obstacles.append(Obstacle(where, found, cure))
    if obstacles:
        raise ModelError(path.name, obstacles)
    return proto


def _tensors(proto: onnx.ModelProto) -> Iterator[tuple[str, onnx.TensorProto]]:
    for tensor in proto.graph.initializer:
        yield f"initializer {quoted(tensor.name)}", tensor
    for node in proto.graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield f"{node.op_type} {quoted(node.name)}", attribute.t


def _fetch(tensor: onnx.TensorProto, directory: Path) -> str | None:
    """Take the data of a tensor out of its file; what is wrong with it, or None."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    said = f"its data lies in {quoted(location)}"
    if "\0" in location or not location or os.path.isabs(location):
        return f"{said}, which is no path below the model's directory"
    place = (directory / location).resolve()
    if not place.is_relative_to(directory.resolve()):
        return f"{said}, which is no path below the model's directory"
    if not place.is_file():  # a pipe would be waited for
        return f"{said}, which is no file"
    size = place.stat().st_size
    try:
        offset = int(entries.get("offset", 0))
        length = int(entries.get("length", size - offset))
    except ValueError:
        return f"{said} at an offset or of a length that is no number"
    if not (offset >= 0 and 0 <= length <= MOST_TENSOR_BYTES and offset + length <= size):
        return f"{said} at byte {offset}, {length} bytes long; the file has {size} bytes"
    with place.open("rb") as file:
        file.seek(offset)
        tensor.raw_data = file.read(length)
    tensor.data_location = onnx.TensorProto.DEFAULT
    del tensor.external_data[:]
    return None
