"""The generated files as text: the same bytes each time, legal C for any names, a checked plan."""

import subprocess
from dataclasses import replace

import pytest
import tiny

import tvm_ondevice_train as odt
from tvm_ondevice_train.memory_plan import check_plan

STRICT = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only"]


@pytest.fixture(scope="module", params=[False, True], ids=["float32", "int8"])
def quantized(request) -> bool:
    return request.param


def compiled(quantized, scheme="full", **options):
    return odt.compile(tiny.network(quantized), scheme=scheme, board="host", **options)


def test_the_same_source_gives_the_same_bytes(quantized):
    first, second = compiled(quantized), compiled(quantized)
    assert first.files == second.files
    assert first.report == second.report


def test_another_seed_of_a_fresh_head_gives_other_data_only(quantized):
    first, second = (compiled(quantized, "head", classes=5, seed=seed) for seed in (0, 1))
    changed = {name for name in first.files if first.files[name] != second.files[name]}
    assert changed == {"model_data.h", "model.h"}  # the header holds the data's hash


@pytest.mark.parametrize("scheme", ["full", "head", "last:1", "bias:1"])
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_every_plan_passes_the_independent_check(quantized, scheme, loss):
    model = compiled(quantized, scheme, loss=loss)
    for planned in (model.source.train, model.source.predict):
        check_plan(planned.buffers, planned.plan)
        assert planned.plan.total_bytes <= model.report["arena_bytes"]


def test_the_arena_map_names_every_buffer_with_its_offset(quantized):
    model = compiled(quantized)
    text = model.files["model.c"]
    for planned in (model.source.train, model.source.predict):
        for buffer in planned.buffers:
            offset = planned.plan.offsets[buffer.name]
            live = f"ops {buffer.first:3d}..{buffer.last:<3d}  {buffer.name} "
            assert f" * {offset:8d} {buffer.size_bytes:8d}  {live}" in text


@pytest.mark.parametrize(
    "names",
    [
        ("arena", "target"),
        ("odt->params", "seed"),
        ("int", "class"),
        ("a*/b", 'c"d\\'),
        ("x.y", "x/y"),
        ("multiply", "initial_x"),
        ("été", "9??/"),
    ],
)
def test_any_names_give_legal_c(names, quantized, tmp_path):
    """Frozen or trained, in C and (the header) in C++."""
    model = replace(tiny.network(quantized, names), name=f"{names[1]}*/ model")
    for scheme in ("full", "head"):
        project = odt.compile(model, scheme=scheme, board="host").save(tmp_path / scheme, "host")
        include = [f"-I{path}" for path in {p.parent for p in project.rglob("*.h")}]
        for source in project.rglob("model.c"):
            run([*STRICT, *include, str(source)], "gcc")
        user = tmp_path / "user.cpp"
        user.write_text('#include "model.h"\nint main() { return ODT_OK; }\n')
        run(["-fsyntax-only", "-Wall", "-Werror", *include, str(user)], "g++")


def run(arguments, compiler):
    done = subprocess.run([compiler, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:2000]


def test_a_kernel_of_equal_text_is_one_function(quantized):
    text = compiled(quantized).files["model.c"]
    bodies = [
        part.split("(", 1)[1] for part in text.split("static void ")[1:] if "place" not in part
    ]
    kernels = [body.split("\n}\n")[0] for body in bodies]
    assert len(kernels) == len(set(kernels)) > 3
