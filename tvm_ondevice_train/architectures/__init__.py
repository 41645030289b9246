"""What is known of each CPU architecture, a record each: `RECORDS`, by name.

The module `<name>.py` holds a RECORD; `<name>.c` and `<name>.h` in runtime/c/port start its cores
and report their faults. Nothing else has to know of it.
"""

from importlib import import_module
from pkgutil import iter_modules

from .record import Architecture, Core, MachineCode

__all__ = ["RECORDS", "Architecture", "Core", "MachineCode"]

RECORDS: dict[str, Architecture] = {
    name: import_module(f".{name}", __name__).RECORD
    for _, name, _ in iter_modules(__path__)
    if name != "record"
}

_CORES = [core for record in RECORDS.values() for core in record.cores]
assert len(set(_CORES)) == len(_CORES), "two architectures have a core of the same name"
