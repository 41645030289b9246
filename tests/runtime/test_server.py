"""The C server against hostile bytes, under the sanitizers and every compiler."""

import re
import shutil
import struct
import subprocess

import pytest
from fake_project import fake_project
from hypothesis import given, settings
from hypothesis import strategies as st

from tvm_ondevice_train.boards import boards
from tvm_ondevice_train.device import build
from tvm_ondevice_train.device.protocol import CRC, ERROR, HEADER, MAGIC, REPLY, Frame, pack_frame
from tvm_ondevice_train.project import runtime_dir

STRICT = (
    "-std=c99 -Wall -Wextra -Wpedantic -Wundef -Wconversion -Wmissing-prototypes -Werror".split()
)
EXIT = pack_frame(Frame.EXIT)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    directory = fake_project(tmp_path_factory.mktemp("server") / "project")
    return build(directory, "-Werror -g -fsanitize=address,undefined -fno-sanitize-recover=all")


def talk(server, data):
    """Send `data`, end the stream, and return the replies as (type, payload)."""
    done = subprocess.run([server], input=data, capture_output=True, timeout=20, check=False)
    assert b"Sanitizer" not in done.stderr and b"runtime error" not in done.stderr, done.stderr
    assert done.returncode in (0, 1)
    replies, rest = [], done.stdout
    while rest:
        magic, kind, length = HEADER.unpack_from(rest)
        end = HEADER.size + length
        assert magic == MAGIC
        assert pack_frame(kind, rest[HEADER.size : end]) == rest[: end + CRC.size]
        replies.append((kind, rest[HEADER.size : end]))
        rest = rest[end + CRC.size :]
    return replies


def error(code):
    return ERROR, struct.pack("<i", code)


EXITED = (Frame.EXIT | REPLY, b"")


def test_hello_says_what_the_model_is(server):
    (kind, payload), exited = talk(server, pack_frame(Frame.HELLO) + EXIT)
    assert kind == Frame.HELLO | REPLY
    assert struct.unpack("<7I", payload) == (3, 0x1234ABCD, 64, 4, 40, 2600, 4096)
    assert exited == EXITED


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (pack_frame(77), -17),
        (pack_frame(Frame.HELLO, b"x"), -18),
        (pack_frame(Frame.TRAIN, bytes(67)), -18),
        (pack_frame(Frame.PREDICT, bytes(65)), -18),
        (pack_frame(Frame.PUT_PARAMS, bytes(4)), -18),
        (pack_frame(Frame.PUT_PARAMS, bytes(4 + 4097)), -18),
        (HEADER.pack(MAGIC, Frame.PUT_PARAMS, 0xFFFFFFFF), -18),
        (HEADER.pack(MAGIC, Frame.GET_PARAMS, 0xFFFFFFFF), -18),
        (pack_frame(Frame.PREDICT, bytes(64))[:-4] + b"oops", -19),
        (pack_frame(Frame.PUT_PARAMS, struct.pack("<I", 2597) + bytes(4)), -20),
        (pack_frame(Frame.PUT_PARAMS, struct.pack("<I", 0xFFFFFFFE) + bytes(4)), -20),
        (pack_frame(Frame.PUT_PARAMS, struct.pack("<I", 0) + bytes(4096)), -20),
        (b"garbage of some length", -16),
        (pack_frame(Frame.TRAIN, bytes(64) + struct.pack("<i", 10)), -3),
        (pack_frame(Frame.TRAIN, bytes(64) + struct.pack("<i", -1)), -3),
        (pack_frame(Frame.SET_LR, struct.pack("<f", float("inf"))), -5),
        (pack_frame(Frame.PUT_STATE, struct.pack("<fII", -1.0, 5, 6)), -5),
        (pack_frame(Frame.PUT_STATE, bytes(11)), -18),
        (pack_frame(Frame.GET_STATE, bytes(12)), -18),
    ],
)
def test_a_bad_frame_gets_one_error_and_the_next_one_is_served(server, frame, code):
    assert talk(server, frame + EXIT) == [error(code), EXITED]


def test_a_damaged_update_changes_no_parameter(server):
    damaged = pack_frame(Frame.PUT_PARAMS, bytes(4) + b"\xff" * 100)[:-4] + b"oops"
    _, (_, parameters), _ = talk(server, damaged + pack_frame(Frame.GET_PARAMS) + EXIT)
    assert parameters == bytes(2600)


def test_a_frame_cut_short_swallows_one_frame_and_no_more(server):
    cut = pack_frame(Frame.PREDICT, bytes(64))[:40]
    hello = pack_frame(Frame.HELLO)
    replies = talk(server, cut + hello * 4 + EXIT)
    assert replies[0] == error(-19)
    assert [kind for kind, _ in replies[1:]][-2:] == [Frame.HELLO | REPLY, Frame.EXIT | REPLY]


@pytest.mark.parametrize("length", [0, 1, 4, 8, 9, 40, 72])
def test_a_stream_that_ends_anywhere_ends_the_server(server, length):
    assert talk(server, pack_frame(Frame.PREDICT, bytes(64))[:length]) == []


PIECES = st.one_of(
    st.binary(max_size=80),
    st.just(MAGIC),
    st.builds(
        lambda kind, payload, damage: pack_frame(kind, payload)[: damage or None],
        st.integers(0, 255).filter(lambda kind: kind != Frame.EXIT),
        st.binary(max_size=80),
        st.integers(-8, 0),
    ),
    st.builds(
        lambda kind, length: HEADER.pack(MAGIC, kind, length),
        st.integers(0, 8),
        st.integers(0, 2**32 - 1),
    ),
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(PIECES, max_size=6))
def test_no_bytes_hang_the_server_or_keep_it_from_the_next_frames(server, pieces):
    # An unfinished frame may take what follows for its payload: enough frames follow for any.
    filler = pack_frame(Frame.SET_SEED, bytes(4)) * 300
    replies = talk(server, b"".join(pieces) + filler + EXIT)
    assert replies[-1] == EXITED


@pytest.mark.parametrize(
    ("compiler", "board", "transport"),
    [
        ("gcc", "host", "stdio"),
        ("clang", "host", "stdio"),
        *(
            (row.compiler, row.name, how)
            for row in boards()
            if "baremetal" in row.platforms
            for how in row.transports
        ),
    ],
)
def test_every_compiler_accepts_the_runtime_without_a_warning(compiler, board, transport, tmp_path):
    assert shutil.which(compiler), f"{compiler} is not installed"
    project = fake_project(tmp_path / "project", board, transport=transport)
    makefile = (project / "Makefile").read_text()
    flags = re.search("^CFLAGS = (.*)", makefile, re.MULTILINE)[1].split()
    sources = sorted(str(path) for path in (project / "runtime").rglob("*.c"))
    include = [f"-I{project}", f"-I{project / 'runtime/include'}", f"-I{project / 'runtime/port'}"]
    command = [compiler, *flags, *STRICT, "-O1", "-fsyntax-only", *include, *sources]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_cpp_program_can_include_the_headers(tmp_path):
    project = fake_project(tmp_path / "project")
    includes = "".join(f'#include "odt_{name}.h"\n' for name in ("protocol", "marks"))
    command = ["clang", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-xc++", f"-I{project}"]
    command += [f"-I{runtime_dir() / 'include'}", "-"]
    done = subprocess.run(command, input=includes, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
