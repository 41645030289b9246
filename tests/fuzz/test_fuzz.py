"""The fuzzers run, find nothing in what there is, and do find mistakes that are planted."""

import pytest
from fuzzing import TARGETS, executed
from shared import slow

RUNS = {"protocol": 3000, "generated": 300, "growing": 300, "store": 3000}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=slow if name == "growing" else ()) for name in TARGETS]
)
def test_nothing_is_found(name, tmp_path):
    target = TARGETS[name](tmp_path)
    done = target.run(target.build(tmp_path), f"-runs={RUNS[name]}")
    assert done.returncode == 0, done.stderr[-3000:]
    assert executed(done) >= RUNS[name]


PROTOCOL = [
    (
        "a chunk may be longer than the arena",
        "c->length - 4 <= ODT_ARENA_BYTES ? ODT_OK",
        "c->length - 4 <= 2 * ODT_ARENA_BYTES ? ODT_OK",
    ),
    (
        "parameters may be written behind their end",
        "offset > sizeof(odt_params_t) - bytes) return ODT_ERR_RANGE;",
        "offset > sizeof(odt_params_t)) return ODT_ERR_RANGE;",
    ),
    (
        "a setting counts before its checksum",
        "if (status == ODT_OK) status = odt_set_seed(c->odt, seed);",
        "(void)odt_set_seed(c->odt, seed);",
    ),
]
FRAME = [
    (
        "a checksum may be wrong",
        "return crc == c->crc ? ODT_OK : ODT_ERR_CRC;",
        "return crc != 0 ? ODT_OK : ODT_ERR_CRC;",
    ),
    (
        "a bad frame gets two errors",
        "if (lost_its_end(code)) c->in_sync = 0;",
        "if (lost_its_end(code)) c->in_sync = 1;",
    ),
    (
        "the end of a frame is waited for without end",
        "read_bytes(c, &crc, sizeof crc, ODT_HURRY)",
        "read_bytes(c, &crc, sizeof crc, ODT_WAIT)",
    ),
]
STORE = [
    (
        "parameters may be damaged",
        "status != ODT_OK || crc != header->params_crc",
        "status != ODT_OK",
    ),
    (
        "a length may lead out of the slot",
        "if (header->params_bytes > slot_bytes(flash) - params_offset(flash)) return ODT_OK;",
        "",
    ),
    ("numbers may not wrap around", "return a - b < 0x80000000u && a != b;", "return a > b;"),
    (
        "the newest image is written over",
        "return 1 - area->newest;",
        "return area->newest;",
    ),
    (
        "another model's image is loaded",
        "header->format == FORMAT && header->model_hash == ODT_MODEL_HASH &&",
        "header->format == FORMAT &&",
    ),
    (
        "what was read badly stays",
        "if (status != ODT_OK) (void)odt_init(odt, odt->arena, ODT_ARENA_BYTES);",
        "",
    ),
]
MISTAKES = [("protocol", "odt_protocol.c", *mistake) for mistake in PROTOCOL]
MISTAKES += [("protocol", "odt_frame.c", *mistake) for mistake in FRAME]
MISTAKES += [("store", "odt_store.c", *mistake) for mistake in STORE]


@pytest.mark.parametrize(
    ("name", "file", "mistake", "right", "wrong"),
    [
        pytest.param(*row, marks=() if index % 2 else slow, id=row[2])
        for index, row in enumerate(MISTAKES)
    ],
)
def test_a_mistake_is_found(name, file, mistake, right, wrong, tmp_path):
    target = TARGETS[name](tmp_path)
    program = target.build(tmp_path, {file: (right, wrong)})
    done = target.run(program, "-runs=50000")
    assert done.returncode != 0, mistake
    assert "check failed" in done.stderr or "Sanitizer" in done.stderr
