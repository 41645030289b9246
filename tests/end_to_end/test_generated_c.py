"""The generated C as a firmware engineer reads it: warnings, symbols, memory, wrong calls."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from instruments.interpreter import Interpreter
from shared import needs_models, slow, slow_after
from tiny_models import compiled, export_int8

import tvm_ondevice_train as odt
from relay_passes.memory.step import prediction
from tvm_ondevice_train.device.samples import encode_inputs, encode_targets
from tvm_ondevice_train.losses import VALUES

ROOT = Path(__file__).resolve().parents[2]
HARNESS = Path(__file__).with_name("harness.c")
STRICT = (
    "-std=c99 -Wall -Wextra -Wpedantic -Wundef -Wconversion -Wmissing-prototypes -Werror "
    "-ffp-contract=off"
).split()
SANITIZE = "-g -fsanitize=address,undefined -fno-sanitize-recover=all -DGUARD_BYTES=0".split()
CORTEX_M4 = "-mcpu=cortex-m4 -mthumb -mfpu=fpv4-sp-d16 -mfloat-abi=hard".split()
COMPILERS = {"gcc": [], "clang": [], "arm-none-eabi-gcc": CORTEX_M4}
KWS = ("mlperf_tiny/kws_ref_model.tflite", "full", None)
MODELS = [
    ("cnn", "full", None),
    ("cnn_int8", "full", None),
    ("cnn_int8", "bias:2", 3),
    ("autoencoder", "full", None),
    pytest.param(*KWS, marks=needs_models),
]
every_model = pytest.mark.parametrize(("kind", "scheme", "classes"), MODELS)
most_models_slow = pytest.mark.parametrize(
    ("kind", "scheme", "classes"),
    [
        *slow_after(1, [MODELS[2], *MODELS[:2], MODELS[3]]),
        pytest.param(*KWS, marks=[slow, needs_models]),
    ],
)
STEPS = 3


@pytest.fixture
def project(kind, scheme, classes, tmp_path):
    """The compiled model and its project for the host."""
    model = compiled(kind, scheme, classes=classes, learning_rate=0.05)
    return model, model.save(tmp_path / "project", "host")


def call(*command, **options) -> bytes:
    """What a program prints; its messages are the assertion's where it fails."""
    done = subprocess.run([*map(str, command)], capture_output=True, check=False, **options)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[:3000]
    return done.stdout


def compile_model(directory, compiler, *flags) -> Path:
    target = directory / f"model-{compiler}.o"
    include = ["-I", directory, "-I", directory / "runtime/include"]
    machine = COMPILERS[compiler]
    call(compiler, *machine, *STRICT, *flags, *include, "-c", directory / "model.c", "-o", target)
    return target


def build_harness(model, directory, *flags) -> Path:
    program = directory / "harness"
    include = ["-I", directory, "-I", directory / "runtime/include"]
    if model.manifest.input.dtype == "float32":
        flags = (*flags, "-DFLOAT_INPUT")
    # C11 for the harness alone: aligned_alloc
    strict = ["-std=c11", *STRICT[1:]]
    call("gcc", *strict, *flags, *include, HARNESS, directory / "model.c", "-o", program)
    return program


def data(model) -> tuple[np.ndarray, np.ndarray]:
    """`STEPS` samples and targets in the form that the C reads."""
    manifest, generator = model.manifest, np.random.default_rng(4)
    shape = (STEPS, *manifest.sample_shape)
    x = generator.normal(0, 1, shape).astype(np.float32)
    if manifest.target.kind == VALUES:
        return encode_inputs(x, manifest), encode_targets(x, manifest)
    labels = generator.integers(0, manifest.classes, STEPS)
    return encode_inputs(x, manifest), encode_targets(labels, manifest)


def stream(model) -> bytes:
    return b"".join(a.tobytes() + b.tobytes() for a, b in zip(*data(model), strict=True))


@most_models_slow
@pytest.mark.parametrize("level", ["-O3", pytest.param("-O0", marks=pytest.mark.slow)])
def test_it_compiles_without_a_warning(project, level):
    _, directory = project
    for compiler in COMPILERS:
        compile_model(directory, compiler, level)


@every_model
def test_it_needs_nothing_but_memory_copies(project):
    _, directory = project
    listing = call("arm-none-eabi-nm", "-u", compile_model(directory, "arm-none-eabi-gcc", "-O3"))
    undefined = set(listing.decode().replace("U ", "").split())
    assert undefined <= {"memcpy", "memmove", "memset"}


@every_model
def test_its_writable_memory_is_the_callers(project):
    """No .data and no .bss: state and arena come from outside."""
    _, directory = project
    table = call("arm-none-eabi-size", compile_model(directory, "arm-none-eabi-gcc", "-O3"))
    assert table.decode().splitlines()[1].split()[1:3] == ["0", "0"]


@pytest.mark.parametrize(("kind", "scheme", "classes"), MODELS[1:2])
@pytest.mark.parametrize("compiler", ["clang", "arm-none-eabi-gcc"])
def test_the_header_is_cpp_too(project, compiler, tmp_path):
    _, directory = project
    source = tmp_path / "user.cpp"
    source.write_text('#include "model.h"\nint main() { odt_t s; return odt_set_seed(&s, 1); }\n')
    flags = "-x c++ -std=c++11 -Wall -Wextra -Wpedantic -Werror -fsyntax-only".split()
    call(compiler, *flags, "-I", directory, source)


@most_models_slow
def test_wrong_calls_are_refused_and_change_nothing(project):
    model, directory = project
    call(build_harness(model, directory, "-O1", *SANITIZE), "errors")
    call(build_harness(model, directory, "-O3"), "errors")


@most_models_slow
def test_the_arena_is_enough_and_what_it_held_does_not_matter(project):
    """Sanitized with the arena as a heap block of its own, and plain between guard bytes."""
    model, directory = project
    samples = stream(model)
    plain = build_harness(model, directory, "-O3")
    expected = call(plain, "steps", 0x00, input=samples)
    assert len(expected) > 4 * STEPS
    for fill in (0xAA, 0x55, 0xFF):
        assert call(plain, "steps", fill, input=samples) == expected
    sanitized = build_harness(model, directory, "-O1", *SANITIZE)
    assert call(sanitized, "steps", 0xAA, input=samples) == expected


@pytest.mark.parametrize(("kind", "scheme", "classes"), MODELS[1:2])
def test_other_work_may_run_between_any_two_kernels(project):
    model, directory = project
    flags = ["-O1", "-I", HARNESS.parent, '-DODT_PORT_HEADER="count_yields.h"']
    counts = call(build_harness(model, directory, *flags), "yields").split()
    train, evaluate = model.planned.train.step, model.planned.evaluate.step
    programs = (prediction(evaluate), evaluate, train)
    assert [int(count) for count in counts] == [len(program.tasks) for program in programs]


@every_model
def test_kernels_without_the_arena_give_the_same_bits(project):
    """Every tensor in a buffer of its own: the memory plan changes no number."""
    model, directory = project
    printed = call(build_harness(model, directory, "-O2"), "steps", 0, input=stream(model))
    source = model.planned
    values = {**source.frozen, **{slot.name: slot.value for slot in source.slots}}
    interpreter = Interpreter(source.train.step, values)
    losses = []
    for step, (sample, target) in enumerate(zip(*data(model), strict=True)):
        tensors = interpreter.run(
            input=sample.reshape(source.input.shape),
            target=target.reshape(source.target.shape),
            learning_rate=np.float32(source.optimizer.learning_rate),
            seed=np.uint32((5 + step * 0x9E3779B9) & 0xFFFFFFFF),
        )
        losses.append(tensors[source.train.step.results[0].name].reshape(()))
        interpreter.parameters.update({slot.name: tensors[slot.name] for slot in source.slots})
    assert np.float32(losses).tobytes() == printed[: 4 * STEPS]
    start = 4 * (STEPS + model.manifest.output_shape[-1])
    for slot in source.slots:
        found = printed[start + slot.offset :][: slot.value.nbytes]
        assert tensors[slot.name].tobytes() == found, slot.name


def test_the_same_model_gives_the_same_files_in_any_process(tmp_path):
    path = export_int8(tmp_path)
    model = odt.compile(path, scheme="full")
    assert odt.compile(path, scheme="full").files == model.files
    program = "import sys; from tvm_ondevice_train.cli import main; sys.exit(main())"
    arguments = ["compile", str(path), "-o", str(tmp_path / "project"), "--scheme", "full"]
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    call(sys.executable, "-c", program, *arguments, cwd=ROOT, env=environment)
    for name, text in model.files.items():
        assert (tmp_path / "project" / name).read_text() == text
