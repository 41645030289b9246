"""A file is written in whole, or what was there stays."""

import pytest

from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.files.whole_file import write_whole


def test_what_was_there_is_replaced(tmp_path):
    path = tmp_path / "file"
    for content in (b"one", b"two"):
        write_whole(path, content, "test")
        assert path.read_bytes() == content
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_failure_is_one_line_and_leaves_nothing(tmp_path):
    (tmp_path / "file").mkdir()
    for path, reason in ((tmp_path / "file", "Is a directory"), (tmp_path / "a" / "b", "No such")):
        with pytest.raises(OdtError, match=f"^test: cannot write {path}: {reason}"):
            write_whole(path, b"one", "test")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
