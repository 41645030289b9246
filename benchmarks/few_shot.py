"""Classes from a few samples: rows of a cosine head imprinted on the device, then trained.

MCUNet-5FPS, int8, 128x128 (Lin et al. 2022), without its classifier; photographs of clothes in 10
classes, those of the test split never seen. What is drawn differs from seed to seed.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from instruments.provenance import provenance
from PIL import Image

import tvm_ondevice_train as odt
from tvm_ondevice_train.device import Session

HERE = Path(__file__).resolve().parent
SHARED = HERE.parents[1] / "shared"
MODEL, PHOTOS = SHARED / "models/mcunet_int8/mcunet-5fps-c17.onnx", SHARED / "data/clothing_small"
SHOTS, SEEDS, EPOCHS = (1, 5, 20), range(3), 5


class Photos:
    """The images of one split as int8 codes (3, 128, 128), read when they are asked for."""

    def __init__(self, split: str) -> None:
        columns = ["path", "split", "class"]
        with (PHOTOS / "labels.csv").open(newline="") as file:
            rows = list(csv.DictReader(file, columns))
        names = sorted({row["class"] for row in rows})
        chosen = [row for row in rows if row["split"] == split]
        self.archive = zipfile.ZipFile(PHOTOS / "images_128.zip")
        self.paths = [row["path"] for row in chosen]
        self.labels = np.array([names.index(row["class"]) for row in chosen])

    def __getitem__(self, index: int) -> np.ndarray:
        image = Image.open(io.BytesIO(self.archive.read(self.paths[index]))).convert("RGB")
        return (np.asarray(image).transpose(2, 0, 1).astype(np.int16) - 128).astype(np.int8)


def accuracy(device: Session, photos: Photos, count: int) -> float:
    """Over every so-manieth of the photographs, `count` of them."""
    chosen = range(0, len(photos.labels), max(1, len(photos.labels) // count))
    right = [device.predict(photos[i]).argmax() == photos.labels[i] for i in chosen]
    return float(np.mean(right))


def learn(device: Session, photos: Photos, test: Photos, shots: int, seed: int, count: int) -> dict:
    """Accuracy with rows imprinted from so many samples a class, and after epochs of steps."""
    generator, classes = np.random.default_rng(seed), range(photos.labels.max() + 1)
    drawn = [generator.choice(np.flatnonzero(photos.labels == c), shots, False) for c in classes]
    chosen = np.concatenate(drawn)
    device.reset()
    for index in chosen:
        device.imprint(photos[index], photos.labels[index])
    found = {"imprinted": accuracy(device, test, count)}
    for _ in range(EPOCHS):
        for index in generator.permutation(chosen):
            device.train(photos[index], photos.labels[index])
    return found | {"trained": accuracy(device, test, count)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="5 shots, one seed, 60 photographs")
    parser.add_argument("--output", type=Path, default=HERE / "few_shot.json")
    arguments = parser.parse_args()
    if not (MODEL.exists() and PHOTOS.is_dir()):
        print(f"few_shot: {SHARED} is not at hand")
        return
    shots, seeds, count = (SHOTS, SEEDS, 1 << 30)
    if arguments.small:
        shots, seeds, count = (5,), range(1), 60
    photos, test = Photos("train"), Photos("test")
    results = {}
    with tempfile.TemporaryDirectory() as scratch:
        compiled = odt.compile(MODEL, classes=10, head="cosine", board="host")
        with Session(compiled.save(Path(scratch, "project"))) as device:
            for shot in shots:
                runs = [learn(device, photos, test, shot, seed, count) for seed in seeds]
                results[str(shot)] = summary = {
                    name: {"mean": float(np.mean(values)), "std": float(np.std(values))}
                    for name in runs[0]
                    for values in [[run[name] for run in runs]]
                }
                shown = (f"{k} {v['mean']:.1%} +- {v['std']:.1%}" for k, v in summary.items())
                print(f"{shot:2d} samples a class: {', '.join(shown)}", flush=True)
    content = {**provenance(), "seeds": len(seeds), "epochs": EPOCHS, "accuracy": results}
    arguments.output.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
