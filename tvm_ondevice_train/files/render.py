"""Jinja2 templates of the generated files: those of a package lie in its `templates/`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def render(package: str, name: str, facts: Mapping[str, Any]) -> str:
    """Text of ``<package>/templates/<name>.j2`` with `facts` filled in."""
    import jinja2  # late: `ondevice-train --help` must not wait for it

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(package),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(f"{name}.j2").render(facts)
