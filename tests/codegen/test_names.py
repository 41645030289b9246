"""Names of a model are legal in C, and apart."""

import subprocess

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tvm_ondevice_train.codegen.names import identifier
from tvm_ondevice_train.codegen.reserved_names import RESERVED
from tvm_ondevice_train.files.plain_text import plain


@pytest.mark.parametrize(
    "names, expected",
    [
        (["a.b", "a_b", "a/b"], ["a_b", "a_b_2", "a_b_3"]),
        (["a_b", "a.b", "a_b_2"], ["a_b", "a_b_2", "a_b_2_2"]),
        (["1x", "_x", "é", ""], ["p_1x", "p__x", "p__", "p_"]),
        (["a b\n*/", "int", "class"], ["a_b___", "p_int", "p_class"]),
        (["arena", "odt_init", "initial_w"], ["p_arena", "p_odt_init", "p_initial_w"]),
        (["a." * 40 + "end"] * 2, ["a_" * 30 + "end", "a_" * 30 + "end_2"]),
    ],
)
def test_identifiers_are_legal_and_apart(names, expected):
    taken = set()
    found = [identifier(name, taken) for name in names]
    assert len(set(found)) == len(found) and set(found) <= taken
    for name, wanted in zip(found, expected, strict=True):
        assert name == wanted and name.isidentifier() and name.isascii()


HOSTILE = (
    *("NULL", "int8_t", "size_t", "linux", "unix", "errno", "EOF", "M_PI", "INT32_MIN", "I", "E"),
    *("gamma", "y0", "index", "strlen", "main", "sinf", "asm", "typeof", "bool", "near"),
    *(
        "\0",
        'a"b',
        "a\\",
        "*/ int x; /*",
        "??/",
        "%s%n",
        "a\nb",
        "\u202eabc",
        "ünïcode",
        "__FILE__",
    ),
    *("a.b", "a/b", "a_b", "a_b_2", "a b", "x" * 300, "_Bool", "defined", "L", "u8"),
)
HEADERS = """
#include <complex.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <wchar.h>
"""


@pytest.mark.parametrize("standard", ["c99", "gnu99", "gnu2x"])
def test_any_name_is_an_array_a_field_and_a_comment_in_c(standard, tmp_path):
    names, taken, fields = [*HOSTILE, *sorted(RESERVED)], set(), set()
    lines, members = [HEADERS], []
    for number, name in enumerate(names):
        array = identifier(name, taken)
        lines += [f"/* {plain(name)} */", f'static const char {array}[] = "{plain(name)}";']
        lines += [f"const char *get_{number}(void) {{ return {array}; }}"]
        members += [f"  float {identifier(name, fields)}[1]; /* {plain(name)} */"]
    lines += ["typedef struct odt_params {", *members, "} odt_params_t;"]
    source = tmp_path / "names.c"
    source.write_text("\n".join(lines) + "\n")
    flags = [f"-std={standard}", "-Wall", "-Wextra", "-Wno-missing-prototypes", "-trigraphs"]
    command = ["gcc", *flags, "-Werror", "-fsyntax-only", str(source)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[:2000]


def test_macros_of_compilers_and_of_the_headers_of_generated_code_are_reserved():
    headers = "".join(f"#include <{name}.h>\n" for name in ("math", "stddef", "stdint", "string"))
    command = ["gcc", "-std=gnu2x", "-dM", "-E", "-xc", "-"]
    found = subprocess.run(command, input=headers, capture_output=True, text=True, check=True)
    macros = [line.split()[1].split("(")[0] for line in found.stdout.splitlines()]
    assert len(macros) > 500
    assert [name for name in macros if identifier(name, set()) == name] == []


@given(st.lists(st.text(max_size=80), max_size=8))
@example(list(HOSTILE))
def test_any_names_become_identifiers_apart(names):
    taken = set()
    found = [identifier(name, taken) for name in names]
    assert len(set(found)) == len(names)
    assert all(name.isidentifier() and name.isascii() and name[0] != "_" for name in found)


@given(st.text())
def test_plain_text_ends_no_comment_string_or_line_and_starts_no_command(text):
    found = plain(text)
    assert len(found) == len(text)
    assert found.isascii() and (found.isprintable() or not found)
    assert not set(found) & set('*?"\\$`<>&')
