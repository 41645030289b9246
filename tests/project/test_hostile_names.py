"""A model's name and a scheme's are text in a project, and no more, whatever is in them."""

import subprocess
from dataclasses import replace

import pytest
from fake_project import FILES, MANIFEST, fake_project
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tvm_ondevice_train.boards import board
from tvm_ondevice_train.project import makefile_project, zephyr

REPORT = {"arena_bytes": 1000, "trainable_state_bytes": 100, "flash_bytes": 5000}
HOSTILE = (
    "net\nall:\n\ttouch owned\n#",
    "net$(shell touch owned)",
    "`touch owned`",
    "</code><script>alert(1)</script>",
    '"\n#error "',
    "*/ int x; /*",
    "%s%n??/\\\0\x1b[31m\u2028",
    "$(shell,touch owned)",
)


def texts(platform, board_name, model, scheme):
    manifest = replace(
        MANIFEST,
        model=model,
        scheme=scheme,
        board=board_name,
        platform=platform,
        transport="uart" if platform == "zephyr" else "semihosting",
    )
    module = zephyr if platform == "zephyr" else makefile_project
    return module.contents(FILES, manifest, REPORT, board(board_name))


@pytest.mark.parametrize("platform, name", [("baremetal", "mps2-an500"), ("zephyr", "native_sim")])
@given(model=st.text(), scheme=st.text())
@example(HOSTILE[0], HOSTILE[1])
@example(HOSTILE[7], HOSTILE[4])
@settings(max_examples=15, deadline=None)
def test_names_add_no_line_and_no_special_character(platform, name, model, scheme):
    plain, found = texts(platform, name, "net", "full"), texts(platform, name, model, scheme)
    assert found.keys() == plain.keys()
    for path, text in found.items():
        assert text.count("\n") == plain[path].count("\n"), path
        for special in '$`<>\\"*?&':
            assert text.count(special) == plain[path].count(special), (path, special)
        assert text.isascii() == plain[path].isascii()


@pytest.mark.parametrize("hostile", HOSTILE)
def test_make_runs_nothing_that_a_name_says(hostile, tmp_path):
    manifest = replace(MANIFEST, model=hostile, scheme=hostile)
    directory = fake_project(tmp_path / "project", manifest=manifest)
    subprocess.run(["make", "-s", "-C", directory, "clean"], check=True)
    assert not (directory / "owned").exists()
