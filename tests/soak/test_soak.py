"""A long life: a model learns on, loses power, is fed nonsense, and gets no worse for it."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from shared import slow
from tiny_models import CLASSES, compiled, images

from tvm_ondevice_train.device import Session
from tvm_ondevice_train.device.snapshot import tensor_in
from tvm_ondevice_train.learning.health import saturation
from tvm_ondevice_train.project import runtime_dir

HERE, NOR = Path(__file__).parent, Path(__file__).parents[1] / "runtime" / "store"
FLAGS = "-std=c11 -O2 -ffp-contract=off -Wall -Wextra -Wpedantic -Werror".split()
SANITIZED = "-g -fsanitize=address,undefined -fno-sanitize-recover=all".split()
OPTIONS = {"replay": 20, "replay_policy": "balanced", "replay_in": "flash", "learning_rate": 0.005}
SLOTS = OPTIONS["replay"]
GROWING = {"classes": 2, "max_classes": CLASSES}
COSINE = {**GROWING, "head": "cosine", "learning_rate": 0.01}
IN_BATCHES = {**GROWING, "optimizer": "adamw", "state_dtype": "int8", "batch": 4}
LIVES = {
    "full": ("full", {}),
    "full, features": ("full", {"replay_of": "features"}),
    "last:2": ("last:2", {}),
    "last:2, features": ("last:2", {"replay_of": "features"}),
    "classes": ("full", GROWING),
    "classes, cosine head": ("full", COSINE),
    "classes, batches, adamw": ("last:2", {**IN_BATCHES, "learning_rate": 0.001}),
}


def live(steps, directory, scheme, flags=(), **options):
    """What soak.c found in so many steps, and the parameters that it left."""
    model = compiled("cnn_int8", scheme, board="host", **{**OPTIONS, **options})
    project = model.save(directory / "project", "host")
    runtime = runtime_dir() / "src"
    names = ("crc", "replay", "ring_flash", "ring_ram", "store")
    sources = [HERE / "soak.c", NOR / "nor.c", project / "model.c"]
    sources += [runtime / f"odt_{name}.c" for name in names]
    include = [f"-I{path}" for path in (project, NOR, runtime_dir() / "include")]
    program = directory / "soak"
    command = ["gcc", *FLAGS, *flags, *include, *map(str, sources), "-lm", "-o", str(program)]
    subprocess.run(command, check=True)
    write_samples(directory / "samples.bin")
    command = [program, str(steps), directory / "samples.bin", directory / "params.bin"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    raw = (directory / "params.bin").read_bytes()
    tensors = model.manifest.trained_parameters.items()
    learned = {name: tensor_in(raw, spec) for name, spec in tensors}
    return json.loads(done.stdout), learned


def write_samples(path):
    parts = [images(400), images(100, seed=1)]
    content = np.array([len(x) for x, _ in parts], np.uint32).tobytes()
    for x, y in parts:
        pairs = zip(x, y.astype(np.int32), strict=True)
        content += b"".join(image.tobytes() + label.tobytes() for image, label in pairs)
    path.write_bytes(content)


def check(found, learned, before, grows):
    """No drift: what it reaches it keeps, though one class after the other comes alone."""
    accuracies = found["accuracies"]
    half = len(accuracies) // 2
    assert np.mean(accuracies[-5:]) > np.mean(accuracies[half - 5 : half]) - 0.03
    assert np.mean(accuracies[-5:]) > before
    assert all(share < 0.35 for share in saturation(learned).values())
    assert found["held"] == SLOTS
    assert found["cuts"] > 2 and found["refused"] > 50 and found["saves"] > 5
    assert found["diverged"] == 0
    assert found["erases"] > SLOTS // 2
    assert (found["classes_again"] > 0) == grows
    check_second_life(found["second_life"], accuracies[0], before)


def check_second_life(accuracies, start, before):
    """What was forgotten is forgotten, and learned again."""
    assert accuracies[0] == start
    assert np.mean(accuracies[-5:]) > before


def test_a_short_life_under_the_sanitizers(tmp_path):
    check(*live(2000, tmp_path, "full", SANITIZED, **COSINE), before=0.7, grows=True)


@slow
@pytest.mark.parametrize("scheme, options", LIVES.values(), ids=LIVES)
def test_a_hundred_thousand_steps(scheme, options, tmp_path):
    grows = "max_classes" in options
    check(*live(100_000, tmp_path, scheme, **options), before=0.8, grows=grows)


@slow
def test_a_life_on_an_emulated_device(tmp_path):
    """Power is cut between any two requests; memory is the same at the end as at the start."""
    project = compiled("cnn_int8", "full", board="mps2-an500", **OPTIONS).save(tmp_path / "project")
    (x, y), (x_test, y_test) = images(400), images(60, seed=1)
    generator, accuracies, used = np.random.default_rng(0), [], []
    for life in range(40):
        with Session(project) as device:
            if life:
                device.load()
            for step in range(100):
                (of_class,) = np.nonzero(y == (life + step // 50) % CLASSES)
                index = generator.choice(of_class)
                device.train(x[index], y[index])
                device.remember(x[index], y[index])
                device.rehearse()
                if step == 95:
                    device.save()
            outputs = [device.predict(sample).argmax() for sample in x_test]
            accuracies.append(np.mean(np.array(outputs) == y_test))
            used.append(device.stats())
            device.cut_power()
    assert np.mean(accuracies[-5:]) > max(0.7, np.mean(accuracies[-10:-5]) - 0.05)
    fixed = ("arena_bytes", "state_bytes", "static_bytes")
    assert len({tuple(stats[name] for name in fixed) for stats in used}) == 1
    stack = [stats["stack_used"] for stats in used]  # less where no group was written anew
    assert max(stack[20:]) <= max(stack[:20]) < used[0]["stack_reserved"]


@slow
def test_classes_come_during_a_life_on_an_emulated_device(tmp_path):
    """Power is cut before what a new class taught is saved; its kept samples bring it back."""
    model = compiled("cnn_int8", "full", board="mps2-an500", **OPTIONS, **GROWING)
    project = model.save(tmp_path / "project")
    (x, y), (x_test, y_test) = images(400), images(60, seed=1)
    generator, accuracies, known = np.random.default_rng(0), [], GROWING["classes"]
    for life in range(24):
        with Session(project) as device:
            if life:
                device.load()
                device.rehearse()
                assert device.classes() == known
            if life % 4 == 3 and device.classes() < CLASSES:
                device.add_class()
            known = device.classes()
            for step in range(80):
                (of_class,) = np.nonzero(y == (life + step // 20) % known)
                index = generator.choice(of_class)
                device.train(x[index], y[index])
                device.remember(x[index], y[index])
                device.rehearse()
                if step == 75 and life % 4 != 3:
                    device.save()
            outputs = [device.predict(sample).argmax() for sample in x_test]
            accuracies.append(np.mean(np.array(outputs) == y_test))
            device.cut_power()
    assert known == CLASSES
    assert np.mean(accuracies[-5:]) > max(0.7, np.mean(accuracies[-10:-5]) - 0.05)
