"""Names of a model are legal in C, and apart."""

import pytest

from tvm_ondevice_train.codegen.names import identifier


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
