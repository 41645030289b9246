"""Names in a line, in a file, or as a list."""

import pytest

from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.files.name_list import name_list


@pytest.mark.parametrize("given", ["cat, dog,emu ,", ["cat", "dog", "emu"], ("cat", "dog", "emu")])
def test_names_as_they_are(given):
    assert name_list(given) == ("cat", "dog", "emu")


def test_names_of_a_file(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("cat\nwild dog\n\n emu\n")
    assert name_list(path) == name_list(str(path)) == ("cat", "wild dog", "emu")


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(OdtError, match=r"names: cannot read .*none.txt: No such file"):
        name_list(tmp_path / "none.txt")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(OdtError, match=r"names: cannot read .*binary: "):
        name_list(str(tmp_path / "binary"))
