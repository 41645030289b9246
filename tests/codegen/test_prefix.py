"""--prefix: two models in one program, each with names of its own, in C and in C++."""

import subprocess

import numpy as np
import pytest
import tiny

import tvm_ondevice_train as odt
from tvm_ondevice_train.codegen.prefix import with_prefix
from tvm_ondevice_train.device import Session
from tvm_ondevice_train.errors import OdtError

STRICT = "-Wall -Wextra -Wpedantic -Wundef -Wconversion -Werror -O1".split()
STEPS = 4
MAIN = """
#include <stdio.h>

#include "kws_model.h"
#include "wake_model.h"

#define TRAIN(name, NAME)                                                                        \\
    do {                                                                                         \\
        static name##_t model;                                                                   \\
        static uint8_t arena[NAME##_ARENA_BYTES] __attribute__((aligned(NAME##_ARENA_ALIGN)));   \\
        static name##_input_t sample[NAME##_INPUT_ELEMENTS];                                     \\
        const name##_target_t label = 1;                                                         \\
        float loss = 0.0f;                                                                       \\
        int status = name##_init(&model, arena, sizeof arena);                                   \\
        for (unsigned i = 0; i < NAME##_INPUT_ELEMENTS; i++)                                     \\
            sample[i] = (name##_input_t)((int)(i % 7u) - 3);                                     \\
        for (int step = 0; step < 4 && status == NAME##_OK; step++)                              \\
            status = name##_train_step(&model, sample, &label, &loss);                           \\
        printf("%s %d %.9g %s\\n", NAME##_MODEL_NAME, status, (double)loss,                       \\
               name##_strerror(NAME##_ERR_LABEL));                                               \\
    } while (0)

int main(void)
{
    TRAIN(kws, KWS);
    TRAIN(wake, WAKE);
    return 0;
}
"""


def model(quantized, prefix=None):
    network = tiny.network(quantized, name="odt_t" if quantized else "net")
    return odt.compile(network, scheme="full", board="host", prefix=prefix)


@pytest.fixture(scope="module")
def projects(tmp_path_factory):
    """kws is float32, wake int8."""
    root = tmp_path_factory.mktemp("prefix")
    for name, quantized in (("kws", False), ("wake", True)):
        model(quantized, name).save(root / name, "host")
    return root


def loss_alone(project, dtype) -> float:
    """After `STEPS` steps of a project on the sample of `MAIN`."""
    sample = (np.arange(72) % 7 - 3).astype(dtype).reshape(2, 6, 6)
    with Session(project) as device:
        return [device.train(sample, np.int32(1)) for _ in range(STEPS)][-1]


@pytest.mark.parametrize("language", ["c", "c++"])
def test_two_models_in_one_program_train_as_each_alone(language, projects, tmp_path):
    source, program = projects / f"main.{language.replace('+', 'p')}", tmp_path / "program"
    source.write_text(MAIN)
    include = ["-I", "kws", "-I", "wake", "-I", "kws/runtime/include"]
    objects = []
    for name in ("kws", "wake"):
        objects.append(tmp_path / f"{name}.o")
        run(
            ["gcc", "-std=gnu11", *STRICT, *include, "-c", f"{name}/{name}_model.c"],
            objects[-1],
            projects,
        )
    standard = ["g++", "-std=c++11"] if language == "c++" else ["gcc", "-std=c99"]
    run([*standard, *STRICT, *include, source, *objects], program, projects)
    lines = subprocess.run([program], capture_output=True, text=True, check=True).stdout.split("\n")
    for line, name, called, dtype in zip(
        lines, ("kws", "wake"), ("net", "odt_t"), ("float32", "int8"), strict=False
    ):
        found, status, loss, told = line.split(" ", 3)
        assert (found, status, told) == (called, "0", "the label is not one of the classes")
        assert np.float32(loss) == np.float32(loss_alone(projects / name, dtype))


def run(command, target, directory):
    done = subprocess.run(
        [*map(str, command), "-o", str(target)], cwd=directory, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[:2000]


def test_the_store_is_compiled_once_for_each_model(projects, tmp_path):
    """Nothing that two models define is called the same."""
    defined = []
    for name in ("kws", "wake"):
        include = ["-I", name, "-I", "wake/runtime/include"]
        for source in (f"{name}/{name}_model.c", "kws/runtime/src/odt_store.c"):
            run(["gcc", "-std=c99", *STRICT, *include, "-c", source], tmp_path / "o", projects)
            text = subprocess.run(["nm", tmp_path / "o"], capture_output=True, text=True).stdout
            defined += [line.split()[-1] for line in text.splitlines() if " T " in line]
    assert {"kws_save", "wake_load", "kws_quantize_input", "wake_train_step"} - set(defined) == {
        "kws_quantize_input"  # of a float model there is none
    }
    assert len(defined) == len(set(defined))
    assert all(name.startswith(("kws_", "wake_")) for name in defined)


@pytest.mark.parametrize("memory", ["ram", "flash"])
def test_kept_samples_are_compiled_once_for_each_model_too(memory, tmp_path):
    network = tiny.network()
    made = odt.compile(network, board="host", prefix="kws", replay=4, replay_in=memory)
    made.save(tmp_path / "kws", "host")
    include = ["-I", "kws", "-I", "kws/runtime/include"]
    for name in ("replay", f"ring_{memory}"):
        source = f"kws/runtime/src/odt_{name}.c"
        run(["gcc", "-std=c99", *STRICT, *include, "-c", source], tmp_path / "o", tmp_path)
        text = subprocess.run(["nm", tmp_path / "o"], capture_output=True, text=True).stdout
        defined = [line.split()[-1] for line in text.splitlines() if " T " in line]
        assert defined and all(one.startswith("kws_") for one in defined)


def test_a_project_with_a_prefix_is_replaced_by_another(projects):
    model(False, "other").save(projects / "kws", "host")
    assert not list((projects / "kws").glob("kws_*"))
    model(False, "kws").save(projects / "kws", "host")


def test_without_a_prefix_the_names_are_as_ever_and_with_one_only_names_differ():
    plain, named = model(True).files, model(True, "wake").files
    assert set(plain) == {"model.h", "model.c", "model_data.h"}
    assert set(named) == {"model.h", *(f"wake_{name}" for name in plain)}
    for name, text in plain.items():
        back = named[f"wake_{name}"].replace("WAKE_", "ODT_").replace("wake_", "odt_")
        assert back.replace("struct wake", "struct odt").replace('"odt_model', '"model') == text
    assert "#define odt_save wake_save\n" in named["model.h"]


TAKEN = r"C, C\+\+, a compiler or the runtime has that name"


@pytest.mark.parametrize(
    ("prefix", "message"),
    [
        ("Kws", "it must be a name in C of lower-case letters"),
        ("kws-1", "it must be a name in C of lower-case letters"),
        ("", "it must be a name in C of lower-case letters"),
        ("a" * 30, "at most 24 of them"),
        ("int8", TAKEN),
        ("size", TAKEN),
        ("odt", TAKEN),
        ("odt_two", TAKEN),
        ("for", TAKEN),
        ("class", TAKEN),
        ("linux", TAKEN),
        ("std", TAKEN),
    ],
)
def test_a_prefix_that_is_none_is_refused(prefix, message):
    with pytest.raises(OdtError, match=f"prefix is .*; .*{message}"):
        odt.Options(prefix=prefix)


def test_a_name_of_the_model_that_would_be_one_of_the_prefix_is_refused():
    files = {"model.h": "int odt_init(void);\n", "model.c": "", "model_data.h": ""}
    with pytest.raises(OdtError, match="prefix conv: the model has something called conv_init"):
        with_prefix(files, "conv", {"conv_init"})
