"""What a project's host and its device must agree on, written into it as manifest.json.

`compile` makes the value, `generate_project` adds how the project runs; whatever builds, starts or
talks to it reads the file. It is no account of memory or time: that is report.json.
"""

from .file import NAME, from_json, read_manifest, to_json
from .source import source_of
from .value import (
    PLATFORMS,
    Batches,
    MadeFrom,
    Manifest,
    StateTensor,
    Target,
    TrainedParameter,
    check_values,
    transports,
)

__all__ = [
    "NAME",
    "PLATFORMS",
    "Batches",
    "MadeFrom",
    "Manifest",
    "StateTensor",
    "Target",
    "TrainedParameter",
    "check_values",
    "from_json",
    "read_manifest",
    "source_of",
    "to_json",
    "transports",
]
