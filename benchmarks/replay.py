"""What a device forgets of old speakers while it learns a new one, with and without replay.

Spoken digits (FSDD): a small CNN on log-mel spectra is trained on all speakers but one and
quantized to int8. Then the device learns the one that is left, 20 samples a digit, every weight of
it. With replay it has been offered all that the network was trained on, keeps 100 of them, and
learns one again after each new sample.

python benchmarks/replay.py [--speakers theo ...] [--rates 0.01 ...] [--small] [--output FILE.json]
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import tempfile
import wave
import zipfile
from functools import cache
from pathlib import Path

import numpy as np
from instruments.provenance import provenance
from onnxruntime import quantization

import tvm_ondevice_train as odt
from tvm_ondevice_train.device import Session

HERE = Path(__file__).resolve().parent
RECORDINGS = HERE.parents[1] / "shared/data/fsdd/recordings.zip"
OUTPUT = HERE / "replay.json"
SPEAKERS = ("theo", "jackson", "lucas")  # each is held out once
RATES = (0.003, 0.01)
DEFAULT_RATE = 0.01
SLOTS = {"without": None, "with": 100}
EPOCHS, SEED = 5, 0
TEACHING = 20  # samples a digit of the new speaker that are learned from; all others are judged by
PRETRAIN_EPOCHS = 15

RATE_HZ, WINDOW, HOP, FRAMES, BANDS = 8000, 256, 250, 32, 32


@cache
def mel_filters() -> np.ndarray:
    """Triangles of equal width on the mel scale, (BANDS, WINDOW // 2 + 1)."""
    top = 2595 * np.log10(1 + RATE_HZ / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, BANDS + 2) / 2595) - 1)
    bins = np.fft.rfftfreq(WINDOW, 1 / RATE_HZ)
    left, middle, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (bins - left) / (middle - left), (right - bins) / (right - middle)
    return np.maximum(0, np.minimum(rising, falling))


def log_mel(sound: np.ndarray) -> np.ndarray:
    """The first second of `sound` (n,) in [-1, 1] as float32 (1, BANDS, FRAMES), near 0."""
    padded = np.zeros(HOP * (FRAMES - 1) + WINDOW)
    padded[: min(len(sound), len(padded))] = sound[: len(padded)]
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    power = np.abs(np.fft.rfft(frames * np.hanning(WINDOW))) ** 2
    bands = mel_filters() @ power.T
    return (np.log10(bands + 1e-6)[None] / 4 + 0.5).astype(np.float32)


@cache
def digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Samples (3000, 1, BANDS, FRAMES), digits, speakers and the number of each recording."""
    samples, facts = [], []
    with zipfile.ZipFile(RECORDINGS) as archive:
        for name in sorted(n for n in archive.namelist() if n.endswith(".wav")):
            with wave.open(io.BytesIO(archive.read(name))) as file:
                sound = np.frombuffer(file.readframes(file.getnframes()), np.int16) / 32768
            samples.append(log_mel(sound))
            facts.append(Path(name).stem.split("_"))
    label, speaker, number = zip(*facts, strict=True)
    return np.stack(samples), np.array(label, int), np.array(speaker), np.array(number, int)


def pretrained(x: np.ndarray, y: np.ndarray, directory: Path, epochs: int) -> Path:
    """A network that was trained on the old speakers, as int8 ONNX."""
    import torch
    from torch import nn

    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    layers: list[nn.Module] = []
    for before, after in ((1, 16), (16, 32), (32, 32)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    network = nn.Sequential(*layers, nn.MaxPool2d((2, 1)), nn.Flatten(), nn.Linear(256, 10))
    inputs, labels = torch.tensor(x), torch.tensor(y)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    steps = epochs * -(-len(x) // 32)
    rates = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(32):
            shifted = torch.roll(inputs[batch], int(torch.randint(-3, 4, ())), -1)
            loss = nn.functional.cross_entropy(network(shifted), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rates.step()
    return quantized(network.eval(), inputs[::20], directory)


def quantized(network, calibration, directory: Path) -> Path:
    """`network` as ONNX Runtime quantizes it."""
    import torch

    class Reader(quantization.CalibrationDataReader):
        def __init__(self):
            self.samples = iter({"x": sample[None].numpy()} for sample in calibration)

        def get_next(self):
            return next(self.samples, None)

    logging.disable(logging.WARNING)
    paths = directory / "digits.onnx", directory / "digits_int8.onnx"
    torch.onnx.export(
        network, (calibration[:1],), paths[0], input_names=["x"], dynamo=False, opset_version=17
    )
    quantization.quantize_static(
        *paths,
        Reader(),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
        activation_type=quantization.QuantType.QInt8,
        weight_type=quantization.QuantType.QInt8,
    )
    return paths[1]


def accuracy(device: Session, x: np.ndarray, y: np.ndarray) -> float:
    found = [device.predict(sample).argmax() for sample in x]
    return round(float(np.mean(np.array(found) == y)), 4)


def personalised(model: Path, slots: int | None, rate: float, parts: dict, directory: Path) -> dict:
    """Accuracy on the new and on the old speakers once the new one was learned, and the account."""
    kept = {} if slots is None else {"replay": slots, "replay_in": "flash"}
    compiled = odt.compile(model, scheme="full", board="host", **kept)
    project = compiled.save(directory)
    if slots is not None:  # flash keeps them, whatever else follows
        with Session(project) as device:
            for sample, label in zip(*parts["old"], strict=True):
                device.remember(sample, label)
    result = odt.run_project(
        project, parts["new"], epochs=EPOCHS, learning_rate=rate, seed=SEED, save=True
    )
    with Session(project) as device:
        before = {name: accuracy(device, *parts[f"{name} test"]) for name in ("new", "old")}
        device.load()
        after = {name: accuracy(device, *parts[f"{name} test"]) for name in ("new", "old")}
    keys = ("replay_bytes", "replay_flash_bytes")
    account = {key: compiled.report[key] for key in keys}
    return {"before": before, "after": after, **account, "replay": result["replay"]}


def divided(speaker: str) -> dict:
    """Samples and digits by part: of the speaker who is new, and of the others."""
    x, y, speakers, number = digits()
    is_new = speakers == speaker
    masks = {
        "old": ~is_new & (number >= 5),  # below 5 is the data set's own test part
        "old test": ~is_new & (number < 5),
        "new": is_new & (number >= 50 - TEACHING),
        "new test": is_new & (number < 50 - TEACHING),
    }
    generator = np.random.default_rng(SEED)
    chosen = {name: generator.permutation(np.flatnonzero(mask)) for name, mask in masks.items()}
    return {name: (x[indices], y[indices]) for name, indices in chosen.items()}


def measured(speaker: str, rates: list[float], epochs: int, directory: Path) -> dict:
    parts = divided(speaker)
    model = pretrained(*parts["old"], directory, epochs)
    found: dict = {}
    for rate in rates:
        for name, slots in SLOTS.items():
            place = directory / f"{name}-{rate:g}"
            one = personalised(model, slots, rate, parts, place)
            found.setdefault(name, {})[f"{rate:g}"] = one
            new, old = (f"{one['after'][who]:.1%}" for who in ("new", "old"))
            print(f"{speaker}, rate {rate:g}, {name} replay: new {new}, old {old}", flush=True)
    return found


def summary(cases: dict) -> dict:
    """Means over the speakers, by rate, with and without replay."""
    rates = next(iter(cases.values()))["with"]
    return {
        name: {
            rate: {
                who: round(float(np.mean([c[name][rate]["after"][who] for c in cases.values()])), 4)
                for who in ("new", "old")
            }
            for rate in rates
        }
        for name in SLOTS
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--speakers", nargs="+", default=SPEAKERS)
    parser.add_argument("--rates", nargs="+", type=float, default=RATES)
    parser.add_argument("--small", action="store_true", help="one speaker, the default rate")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    if not RECORDINGS.exists():
        print("replay: the recordings (shared/data/fsdd) are not at hand; nothing was measured")
        return
    speakers = options.speakers[:1] if options.small else options.speakers
    rates = [DEFAULT_RATE] if options.small else options.rates
    cases = {}
    for speaker in speakers:
        with tempfile.TemporaryDirectory() as scratch:
            cases[speaker] = measured(speaker, rates, PRETRAIN_EPOCHS, Path(scratch))
    content = {**provenance(), "epochs": EPOCHS, "mean": summary(cases), "cases": cases}
    options.output.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
