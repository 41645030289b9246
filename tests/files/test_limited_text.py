"""Text of files that may be endless or no text."""

import pytest

from tvm_ondevice_train.files.limited_text import limited_text
from tvm_ondevice_train.scheme import UpdateScheme
from tvm_ondevice_train.tuning.tuning import load_tuning


@pytest.mark.parametrize("read", [limited_text, UpdateScheme.load, load_tuning])
def test_a_file_without_end_is_refused(read):
    with pytest.raises(ValueError, match=r"it has more than 16,777,216 characters"):
        read("/dev/zero")


@pytest.mark.parametrize("read", [limited_text, UpdateScheme.load, load_tuning])
@pytest.mark.parametrize("content", [b"\xff\xfe{}", b"[" * 100_000])
def test_what_is_no_json_is_one_line(read, content, tmp_path):
    path = tmp_path / "file.json"
    path.write_bytes(content)
    if read is limited_text and content.isascii():
        assert read(path) == content.decode()
        return
    with pytest.raises(ValueError) as caught:
        read(path)
    assert "\n" not in str(caught.value)
