"""Lines that are too long are broken, and nothing else changes."""

import pytest

from tvm_ondevice_train.codegen.c_lines import WIDTH, fitted

NAMES = [f"operand_number_{index}" for index in range(12)]
SUM = " + ".join(f"{name}[row * 16 + column]" for name in NAMES)
CALL = f"odt_kernel({', '.join(NAMES)})"
LONG = {
    "call": f"  {CALL};",
    "sum": f"    out[row * 16 + column] = {SUM};",
    "choice": f"  out[row] = row >= 1 && column >= 1 ? {CALL} : 0.0f;",
    "nested": f"  out[row] = odt_clamp8(odt_requantize_high({SUM}, {CALL}, 1, -255));",
    "condition": f"  if ({' && '.join(f'{name} == NULL' for name in NAMES)}) {{",
    "signature": f"static void f({', '.join(f'const float *restrict {n}' for n in NAMES)}) {{",
    "deep": f"{' ' * 60}odt_update({SUM}, &bad);",
}


@pytest.mark.parametrize("line", LONG.values(), ids=LONG)
def test_code_is_broken_between_its_parts(line):
    parts = fitted(line).split("\n")
    assert len(parts) > 1 and max(map(len, parts)) <= WIDTH
    assert "".join("".join(parts).split()) == "".join(line.split())
    assert not any(part.endswith(" ") for part in parts)
    indent = len(line) - len(line.lstrip())
    assert all(len(part) - len(part.lstrip()) > indent for part in parts[1:])


@pytest.mark.parametrize(
    "line",
    [
        "  f(a, b);",
        f'#define ODT_MODEL_NAME "{"long" * 40}"',  # cannot be broken
        f"  {'x' * 120};",
    ],
)
def test_what_is_short_or_has_no_place_to_be_broken_at_stays(line):
    assert fitted(line) == line


def test_a_call_is_broken_behind_a_comma_and_goes_on_behind_its_bracket():
    assert fitted(f"  {CALL};").split("\n")[1].startswith(" " * len("  odt_kernel(") + "operand")


def test_comments_are_broken_between_words_and_lists_between_items():
    words = "/* " + " ".join(["word"] * 40) + " */"
    first, *others = fitted(words).split("\n")
    assert first.startswith("/* word") and all(line.startswith(" * word") for line in others)
    items = "/* " + "; ".join(f"name_{i} int8 1x16x8x8" for i in range(12)) + " */"
    assert all(line.rstrip(" */").endswith((";", "1x16x8x8")) for line in fitted(items).split("\n"))


def test_a_comment_behind_code_goes_before_it():
    field, comment = f"  int8_t {'field_' * 10}weight[144];", "/* blocks.conv.weight, 16x1x3x3 */"
    assert fitted(f"{field} {comment}").split("\n") == [f"  {comment}", field]
