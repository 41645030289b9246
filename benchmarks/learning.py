"""How well the compiled steps learn, at tuned rates and at those that are found; and how fast.

MCUNet int8 on photos of ten kinds of clothing (`clothing_small`: always the same 1,500, tested on
372), batch 1, cosine, half an epoch of warm-up; MLPerf Tiny's keyword network on spoken digits (720
recordings, tested on 300); a small float32 network on scikit-learn's digits. Every run is a
simulation of the board's step. Beside its speed that of a lean simulation in PyTorch, in the same
minutes on the same core: CPU seconds of one thread.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from instruments.learning_cases import (
    CLASSES,
    SPOKEN_FEATURES,
    TRAINED_ON,
    digits,
    digits_network,
    photos,
    spoken_digits,
)
from instruments.provenance import provenance
from instruments.torch_simulation import TorchSimulation

import tvm_ondevice_train as odt
from tvm_ondevice_train.data import Data, Reading, Source, load_data
from tvm_ondevice_train.learning.plan import Plan
from tvm_ondevice_train.learning.schedule import COSINE, Schedule
from tvm_ondevice_train.learning.training import Training
from tvm_ondevice_train.simulator import Simulation, find_rate, host_model

HERE = Path(__file__).resolve().parent
SHARED = HERE.parents[1] / "shared"
MCUNET = SHARED / "models/mcunet_int8/mcunet-5fps.onnx"
PUBLISHED = HERE / "schemes/mcunet-5fps-100kb.json"
KEYWORDS = SHARED / "models/mlperf_tiny/kws_ref_model.tflite"
RECORDINGS = SHARED / "data/fsdd/recordings.zip"
OUTPUT = HERE / "learning.json"
EPOCHS, WARMUP, SEEDS = 8, 0.5, 3
# that of the spoken digits: the best of 0.025, 0.05, .. 0.4 on recordings 45 to 49 of each speaker
TUNED = {
    "digits": 3e-2,
    "spoken digits": 0.1,
    "head": 3e-3,
    "bias:12": 8e-3,
    PUBLISHED.stem: 3.2e-3,
}
# effective steps a second, times PyTorch's; accuracy of the published scheme at the found rate
MUST = {"effective_steps_a_second": 600, "times_pytorch": 5, "accuracy": 0.847}
PEER_STEPS = 150


def schedule(samples: int, epochs: int) -> Schedule:
    return Schedule(COSINE, epochs * samples, round(WARMUP * samples))


def accuracies(
    simulation: Simulation, data: Data, rate: float, epochs: int, seeds: int
) -> list[float]:
    """Of the test part, at the end of runs that differ in order and rounding."""
    found = []
    for seed in range(seeds):
        simulation.reset()
        simulation.set_seed(seed)
        run = Training(simulation, data, Plan(schedule(len(data.x), epochs), rate, seed=seed))
        run.run()
        found.append(0.0 if run.stopped else run.evaluate("test")["accuracy"])
    return found


def case(
    name: str,
    compiled: odt.CompiledModel,
    source: Source,
    epochs: int,
    seeds: int,
    reading: Reading | None = None,
) -> dict[str, Any]:
    """At the tuned rate, and at the one that is found from training samples alone."""
    host = host_model(compiled)
    data, simulation = load_data(source, host.manifest, reading), Simulation(host)
    began = time.process_time()
    found = find_rate(host, data, schedule(len(data.x), epochs))
    rows = {"found": {"learning_rate": found, "cpu_seconds": time.process_time() - began}}
    rows["tuned"] = {"learning_rate": TUNED[name]}
    for row in rows.values():
        row["accuracies"] = accuracies(simulation, data, row["learning_rate"], epochs, seeds)
        row["mean"] = float(np.mean(row["accuracies"]))
    return rows


def spoken(epochs: int, seeds: int) -> dict[str, Any]:
    """The case of the spoken digits."""
    network = odt.compile(KEYWORDS, classes=CLASSES, scheme="bias:4")
    reading = Reading.of(audio=SPOKEN_FEATURES)
    with tempfile.TemporaryDirectory() as folder:
        root = spoken_digits(RECORDINGS, Path(folder))
        return case("spoken digits", network, root, epochs, seeds, reading)


def speed(arrays: Mapping[str, np.ndarray], epochs: int, peer_steps: int) -> dict[str, Any]:
    """CPU seconds of whole runs with an evaluation an epoch, and of single steps."""
    host = host_model(odt.compile(MCUNET, classes=CLASSES, scheme=PUBLISHED))
    data = load_data(dict(arrays), host.manifest)
    plan = Plan(schedule(len(data.x), epochs), 3.2e-3, evaluate=True, eval_every=len(data.x))
    run = Training(Simulation(host), data, plan)
    began = time.process_time()
    run.run()
    whole = time.process_time() - began
    step = _step_seconds(Simulation(host, cache_bytes=0), data)
    peer = TorchSimulation(MCUNET, json.loads(PUBLISHED.read_text())["parameters"], CLASSES)
    samples = list(zip(data.x, data.y, strict=True))
    taken = (
        _medians(lambda x, y: peer.step(x, int(y), 3.2e-3), samples[:peer_steps]),
        _medians(lambda x, y: peer.predict(x), samples[:peer_steps]),
    )
    evaluations = (epochs + 1) * len(data.samples("test")[1])
    peer_whole = plan.steps * taken[0] + evaluations * taken[1]
    return {
        "steps": plan.steps,
        "evaluated_samples": evaluations,
        "cpu_seconds": whole,
        "effective_steps_a_second": plan.steps / whole,
        "steps_a_second_without_cache": 1 / step,
        "pytorch_steps_a_second": 1 / taken[0],
        "pytorch_effective_steps_a_second": plan.steps / peer_whole,
        "times_pytorch": peer_whole / whole,
    }


def _step_seconds(simulation: Simulation, data: Data, count: int = 60) -> float:
    simulation.set_learning_rate(1e-3)
    return _medians(simulation.train_encoded, list(zip(data.x, data.y, strict=True))[:count])


def _medians(call: Any, samples: Sequence[tuple[np.ndarray, np.ndarray]]) -> float:
    """CPU seconds of a call, the median."""
    taken = []
    for sample, target in samples:
        began = time.process_time()
        call(sample, target)
        taken.append(time.process_time() - began)
    return float(np.median(taken))


def measured(is_small: bool) -> dict[str, Any]:
    """The content of learning.json."""
    epochs, seeds = (1, 1) if is_small else (EPOCHS, SEEDS)
    content: dict[str, Any] = {**provenance(), "epochs": epochs, "seeds": seeds, "must": MUST}
    with tempfile.TemporaryDirectory() as folder:
        network = odt.compile(digits_network(Path(folder) / "digits.onnx"), scheme="full")
        content["cases"] = {"digits": case("digits", network, digits(), epochs, seeds)}
    missing = [path for path in (KEYWORDS, RECORDINGS, MCUNET) if not path.exists()]
    if missing:
        print(f"learning: {missing[0].relative_to(SHARED.parent)} is missing; only digits are run")
        return content
    content["cases"]["spoken digits"] = spoken(epochs, seeds)
    count, tested, peer_steps = (100, 40, 10) if is_small else (TRAINED_ON, None, PEER_STEPS)
    clothing = photos(SHARED / "data/clothing_small", count, tested)
    for scheme in () if is_small else ("head", "bias:12", str(PUBLISHED)):
        name, network = Path(scheme).stem, odt.compile(MCUNET, classes=CLASSES, scheme=scheme)
        content["cases"][name] = case(name, network, clothing, epochs, seeds)
    content["speed"] = speed(clothing, epochs, peer_steps)
    return content


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="a part that takes a minute")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    content = measured(arguments.small)
    arguments.output.write_text(json.dumps(content, indent=1) + "\n")
    for name, rows in content["cases"].items():
        for kind, row in rows.items():
            print(f"{name:20} {kind:6} {row['learning_rate']:<8g} {row['mean']:.1%}")
    for name, value in content.get("speed", {}).items():
        print(f"{name:34} {value:,.1f}")


if __name__ == "__main__":
    main()
