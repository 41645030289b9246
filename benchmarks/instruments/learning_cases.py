"""Networks and data on which learning is measured."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CLASSES = 10
TRAINED_ON = 1500  # of the photos' training split, always the same ones
# as MLPerf Tiny's keyword network takes them, but of 8 kHz; its first coefficient is sqrt(2) larger
SPOKEN_FEATURES = "mfcc,window=30,hop=20,coefficients=10,high=4000,spectrum=magnitude"
_TESTED, _SPOKEN = range(5), range(5, 17)  # of the 50 recordings of each digit and speaker


def photos(root: Path, count: int = TRAINED_ON, tested: int | None = None) -> dict[str, np.ndarray]:
    """clothing_small as the codes p - 128 of its pixels: x (N, 3, 128, 128), y; and its test part.

    root : its folder. count, tested : how many of each; None is all.
    """
    from PIL import Image

    with open(root / "labels.csv") as file:
        rows = list(csv.reader(file))
    names = sorted({name for _, _, name in rows})
    order = np.random.default_rng(0).permutation(sum(split == "train" for _, split, _ in rows))
    with zipfile.ZipFile(root / "images_128.zip") as archive:

        def read(path: str) -> np.ndarray:
            image = Image.open(io.BytesIO(archive.read(path))).convert("RGB")
            return (np.asarray(image, np.int16) - 128).astype(np.int8).transpose(2, 0, 1)

        def part(wanted: str, chosen: Sequence[int] | slice) -> tuple[np.ndarray, np.ndarray]:
            of_it = np.array([(path, name) for path, split, name in rows if split == wanted])
            x = np.stack([read(path) for path, _ in of_it[chosen]])
            return x, np.array([names.index(name) for _, name in of_it[chosen]])

        x, y = part("train", order[:count])
        x_test, y_test = part("test", slice(tested))
    return {"x": x, "y": y, "x_test": x_test, "y_test": y_test}


def spoken_digits(recordings: Path, folder: Path) -> Path:
    """`folder`, with recordings of `recordings` (FSDD's, zipped) and their labels.csv.

    720 of six speakers are trained on, 300 are the test part.
    """
    rows = []
    with zipfile.ZipFile(recordings) as archive:
        for member in archive.namelist():
            digit, _, number = Path(member).stem.split("_")
            if int(number) in (*_TESTED, *_SPOKEN):
                archive.extract(member, folder)
                split = "test" if int(number) in _TESTED else "train"
                rows.append(f"{member},{split},{digit}\n")
    (folder / "labels.csv").write_text("".join(rows))
    return folder


def digits() -> dict[str, np.ndarray]:
    """scikit-learn's handwritten digits, 8x8, in 0 to 1; the last 360 are the test part."""
    from sklearn.datasets import load_digits

    found = load_digits()
    order = np.random.default_rng(0).permutation(len(found.target))
    x = (found.images[order] / 16).astype(np.float32)[:, None]
    y = found.target[order]
    return {"x": x[:-360], "y": y[:-360], "x_test": x[-360:], "y_test": y[-360:]}


def digits_network(path: Path) -> Path:
    """A float32 network for them, with fresh weights: two 3x3 convolutions with pools, a Gemm."""
    generator = np.random.default_rng(0)
    shapes = {"first.weight": (16, 1, 3, 3), "second.weight": (32, 16, 3, 3)}
    shapes["head.weight"] = (CLASSES, 128)
    values: dict[str, np.ndarray] = {}
    for name, shape in shapes.items():
        deviation = (2 / np.prod(shape[1:])) ** 0.5
        values[name] = generator.normal(size=shape, scale=deviation).astype(np.float32)
        values[name.replace("weight", "bias")] = np.zeros(shape[0], np.float32)
    nodes, last = [], "x"
    for name in ("first", "second"):
        parameters = [f"{name}.weight", f"{name}.bias"]
        pads, kernel = [1, 1, 1, 1], [3, 3]
        nodes += [
            helper.make_node(
                "Conv", [last, *parameters], [f"{name}.out"], pads=pads, kernel_shape=kernel
            ),
            helper.make_node("Relu", [f"{name}.out"], [f"{name}.active"]),
            helper.make_node(
                "MaxPool",
                [f"{name}.active"],
                [f"{name}.pooled"],
                kernel_shape=[2, 2],
                strides=[2, 2],
            ),
        ]
        last = f"{name}.pooled"
    nodes += [
        helper.make_node("Flatten", [last], ["flat"]),
        helper.make_node("Gemm", ["flat", "head.weight", "head.bias"], ["y"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 1, 8, 8))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, CLASSES))],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path
