"""Arrays from files of anything: what is read, and that hostile ones cost no memory."""

import os
import resource
import zipfile

import numpy as np
import pytest

from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.files.npz import npz_bytes, read_npz


def archive(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


def npy(header, content=b"", version=1):
    text = header.encode()
    size = len(text).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + size + text + content


def encrypted(path):
    content = bytearray(npz_bytes({"x": np.zeros(3)}))
    for mark, flag in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + flag] |= 1
    path.write_bytes(content)
    return path


def packed_by_an_unknown_method(path):
    content = bytearray(npz_bytes({"x": np.zeros(3)}))
    for mark, method in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        content[content.index(mark) + method] = 99
    path.write_bytes(content)
    return path


HUGE = "{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776, 4, 32), }\n"
NEGATIVE = HUGE.replace("1099511627776", "-1")
SMALL = HUGE.replace("1099511627776, 4, 32", "2,")


@pytest.mark.parametrize("suffix", ["savez", "savez_compressed"])
def test_what_numpy_writes_is_read(suffix, tmp_path):
    arrays = {
        "x": np.arange(6, dtype=np.int8).reshape(2, 3),
        "y": np.asfortranarray(np.ones((4, 2))),
        "scalar": np.float32(3),
        "none": np.zeros((0, 5)),
        "constant": np.zeros((500, 500)),
    }
    getattr(np, suffix)(tmp_path / "a.npz", **arrays)
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as file:
        file.writestr("readme.txt", "no array")
    found = read_npz(tmp_path / "a.npz", "data")
    assert found.keys() == arrays.keys()
    for name, value in arrays.items():
        np.testing.assert_array_equal(found[name], value, strict=True)


@pytest.mark.parametrize(
    "members, message",
    [
        ({"x": b"hello"}, r"x\.npy: .*magic"),
        ({"x": b""}, r"x\.npy: "),
        ({"x": npy(HUGE)}, r"x\.npy: it is float32 of shape \(1099511627776, 4, 32\), which are"),
        ({"x": npy(HUGE, version=2)}, r"x\.npy: it is float32 of shape"),
        (
            {"x": npy(SMALL, b"123456789")},
            r"x\.npy: it is float32 of shape \(2,\), which are not 9",
        ),
        ({"x": npy(NEGATIVE)}, r"x\.npy: its shape is \(-1, 4, 32\)"),
        ({"x": npy(HUGE, version=3)}, r"x\.npy: a version of \.npy that holds no numbers"),
        ({"x": npy("[" * 5000)}, ""),
        (
            {"x": npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", b"8" * 8)},
            r"x\.npy: it holds Python obj",
        ),
    ],
)
def test_a_member_that_is_no_array_is_one_line(members, message, tmp_path):
    path = archive(tmp_path / "a.npz", **members)
    with pytest.raises(OdtError, match=rf"data: .*a\.npz is not a readable \.npz file \({message}"):
        read_npz(path, "data")


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path):
    path = archive(tmp_path / "bomb.npz", x=b"\0" * (300 << 20))
    assert path.stat().st_size < 1 << 20
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(OdtError, match=r"its arrays have 314,572,800 bytes, of a file of \d+,\d+"):
        read_npz(path, "data")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10  # KB


@pytest.mark.parametrize("make", [encrypted, packed_by_an_unknown_method])
def test_an_archive_that_cannot_be_unpacked_is_one_line(make, tmp_path):
    with pytest.raises(OdtError, match=r"is not a readable \.npz file \(.+\)") as caught:
        read_npz(make(tmp_path / "a.npz"), "data")
    assert "\n" not in str(caught.value)


def test_a_device_or_a_pipe_is_refused_and_not_waited_for(tmp_path):
    (tmp_path / "endless.npz").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "silent.npz")
    for name in ("endless.npz", "silent.npz"):
        with pytest.raises(OdtError, match=f"data: .*{name} is no file"):
            read_npz(tmp_path / name, "data")
