"""What a project's host and its device must agree on, written into it as manifest.json.

`compile` makes the value, `generate_project` adds how the project runs; whatever builds, starts or
talks to it reads the file. It is no account of memory or time: that is report.json.
"""

from .file import NAME, from_json, read_manifest, to_json
from .value import (
    LABEL,
    PLATFORMS,
    TARGET_KINDS,
    VALUES,
    MadeFrom,
    Manifest,
    Target,
    TrainedParameter,
    transports,
)

__all__ = [
    "LABEL",
    "NAME",
    "PLATFORMS",
    "TARGET_KINDS",
    "VALUES",
    "MadeFrom",
    "Manifest",
    "Target",
    "TrainedParameter",
    "from_json",
    "read_manifest",
    "to_json",
    "transports",
]
