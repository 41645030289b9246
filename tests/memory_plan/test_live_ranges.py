"""Live ranges of training steps of published networks: no plan may become larger.

The files hold what `codegen.layout.live_ranges` gave: [name, bytes, first op, last op] a buffer, a
list of spans behind where there are any; and the arena that is known to hold them, with its lower
bound.
"""

import json
from pathlib import Path

import pytest

from tvm_ondevice_train.memory_plan import Buffer, check_plan, plan

FILES = sorted((Path(__file__).parent / "live_ranges").glob("*.json"))


def read(path: Path) -> tuple[list[Buffer], dict]:
    content = json.loads(path.read_text())
    buffers = []
    for name, size_bytes, first, last, *spans in content["buffers"]:
        spans = tuple(tuple(span) for span in spans[0]) if spans else ()
        buffers.append(Buffer(name, size_bytes, first, last, spans=spans))
    return buffers, content


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_arena_of_a_network_stays_as_small_as_it_was(path):
    buffers, known = read(path)
    found = plan(buffers)
    check_plan(buffers, found)
    assert found.lower_bound_bytes == known["lower_bound_bytes"]
    assert found.total_bytes <= known["total_bytes"]


def test_some_of_their_buffers_shrink_and_some_grow():
    spans = [[s for b in read(path)[0] for s in b.spans] for path in FILES]
    assert all(len(found) > 1 for found in spans)
    assert any(low > 0 for found in spans for _, low, _ in found)
