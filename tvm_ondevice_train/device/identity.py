"""Whether a device runs the program of a project, by what it says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..errors import OdtError
from ..manifest import Manifest
from .protocol import VERSION

_WORD = 4  # of bytes: odt_params_t may end with padding to whole words, and is never empty


def check_hello(hello: Mapping[str, int], manifest: Manifest, directory: str | Path) -> None:
    """Refuse a device that runs something else than the project in `directory`.

    hello : odt_hello_t, by `HELLO_FIELDS`. manifest : the project's.
    """
    if hello["version"] != VERSION:
        raise OdtError(
            f"device: it speaks protocol version {hello['version']}, this package {VERSION}; "
            f"compile the project again"
        )
    if hello["model_hash"] != manifest.model_hash:
        raise OdtError(
            f"device: it runs model {hello['model_hash']:08x}, {directory} holds "
            f"{manifest.model_hash:08x}; bring the project's program to the board"
        )
    _check_sizes(hello, manifest, directory)


def _check_sizes(hello: Mapping[str, int], manifest: Manifest, directory: str | Path) -> None:
    """Refuse a manifest that was altered, and tells of other bytes than the device."""
    said = {
        "input_bytes": manifest.input_bytes,
        "target_bytes": manifest.target.nbytes,
        "output_bytes": manifest.output_bytes,
        "params_bytes": manifest.parameter_bytes,
    }
    for name, size in said.items():
        padded = -(-max(size, 1) // _WORD) * _WORD if name == "params_bytes" else size
        if hello[name] not in (size, padded):
            raise OdtError(
                f"device: {name} is {hello[name]:,} there, {size:,} in the manifest of "
                f"{directory}; compile the project again"
            )
    if hello["chunk_bytes"] < 1:
        raise OdtError("device: it takes parameters in chunks of 0 bytes; flash it again")
