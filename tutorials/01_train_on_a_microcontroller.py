"""Train a neural network on a microcontroller, from nothing but this checkout.

    python tutorials/01_train_on_a_microcontroller.py [directory]

A device in a factory reads handwritten digits. Its network was trained at a desk, on digits that
stand upright. Then somebody mounts the camera sideways: every image now arrives turned by 90
degrees, and the network is lost. Nobody can collect these images and retrain in the cloud, but the
device itself can learn, one sample at a time, in the memory it has.

The data are the 1,797 digits of 8x8 pixels that scikit-learn bundles: 1,000 for the desk, 400
turned ones for the device, 397 turned ones that nobody trains on. The device is an emulated
Cortex-M7 with 256 KB of SRAM.
"""

import logging
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import quantization
from sklearn.datasets import load_digits

import tvm_ondevice_train as odt
from tvm_ondevice_train.cli import display
from tvm_ondevice_train.project import read_report

SEED = 0
PRETRAIN_EPOCHS = 20
ADAPT_EPOCHS = 5


def digits():
    """Images as float32 (N, 1, 8, 8) in -1 ... 1, labels 0 ... 9, in a fixed shuffled order."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(SEED).permutation(len(labels))
    x = (images[order].reshape(-1, 1, 8, 8) / 8.0 - 1.0).astype(np.float32)
    return x, labels[order].astype(np.int64)


# 1. A network, as anybody's exporter would write it: two convolutions, a pool, a residual block,
#    global average pooling, a classifier. Its weights are random.


def network() -> onnx.ModelProto:
    random = np.random.default_rng(SEED)

    def weight(name, *shape):
        fan_in = int(np.prod(shape[1:]))
        values = random.normal(0, np.sqrt(2 / fan_in), shape).astype(np.float32)
        return numpy_helper.from_array(values, name)

    def bias(name, size):
        return numpy_helper.from_array(np.zeros(size, np.float32), name)

    def conv(name, x, y):
        inputs = [x, f"{name}.weight", f"{name}.bias"]
        return helper.make_node("Conv", inputs, [y], kernel_shape=[3, 3], pads=[1, 1, 1, 1])

    nodes = [
        conv("conv1", "image", "a"),
        helper.make_node("Relu", ["a"], ["b"]),
        conv("conv2", "b", "c"),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("MaxPool", ["d"], ["e"], kernel_shape=[2, 2], strides=[2, 2]),
        conv("conv3", "e", "f"),
        helper.make_node("Relu", ["f"], ["g"]),
        helper.make_node("Add", ["g", "e"], ["h"]),
        helper.make_node("GlobalAveragePool", ["h"], ["i"]),
        helper.make_node("Flatten", ["i"], ["j"]),
        helper.make_node("Gemm", ["j", "fc.weight", "fc.bias"], ["logits"], transB=1),
    ]
    parameters = [
        weight("conv1.weight", 16, 1, 3, 3),
        bias("conv1.bias", 16),
        weight("conv2.weight", 32, 16, 3, 3),
        bias("conv2.bias", 32),
        weight("conv3.weight", 32, 32, 3, 3),
        bias("conv3.bias", 32),
        weight("fc.weight", 10, 32),
        bias("fc.bias", 10),
    ]
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 10])],
        parameters,
    )
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=9)


# 2. Pre-training at the desk. The engine that trains on the device trains here too: the same C,
#    built for this computer, every weight trained in float32.


def pretrain(path: Path, data: Path) -> dict:
    compiled = odt.compile(path, scheme="full", board="host", learning_rate=0.02)
    project = compiled.save(path.with_suffix(""))
    with display.losses() as show:
        result = odt.run_project(
            project, data, epochs=PRETRAIN_EPOCHS, evaluate=True, seed=SEED, on_progress=show
        )
    odt.export_project(project, path)  # what was learned, as ONNX
    return result


# 3. Quantization to int8 by ONNX Runtime, calibrated on the upright digits: what anybody does who
#    puts a network on a microcontroller.


class Calibration(quantization.CalibrationDataReader):
    def __init__(self, images):
        self.batches = iter([{"image": image[None]} for image in images])

    def get_next(self):
        return next(self.batches, None)


def quantize(path: Path, images) -> Path:
    logging.getLogger().setLevel(logging.ERROR)  # it recommends a preparation not needed here
    quantized = path.with_name("digits_int8.onnx")
    quantization.quantize_static(
        path,
        quantized,
        Calibration(images),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
        activation_type=quantization.QuantType.QInt8,
        weight_type=quantization.QuantType.QInt8,
    )
    return quantized


# 4. On the device: one sample at a time, forward, backward and update, in place, int8 weights and
#    all. What follows is what `ondevice-train compile` and `ondevice-train run` do.


def adapt(path: Path, data: Path, directory: Path) -> dict:
    compiled = odt.compile(path, scheme="full", board="mps2-an500", learning_rate=0.04)
    project = compiled.save(directory)
    display.print_memory(read_report(project), compiled.board)
    with display.losses() as show:
        result = odt.run_project(
            project, data, epochs=ADAPT_EPOCHS, evaluate=True, seed=SEED, on_progress=show
        )
    display.print_run(result)
    return result


def prepare(folder: Path) -> tuple[Path, Path]:
    """What the desk does, in `folder`: the quantized network, and what the device will see."""
    x, y = digits()
    turned = np.ascontiguousarray(np.rot90(x, axes=(2, 3)))
    desk, sideways = folder / "upright.npz", folder / "sideways.npz"
    np.savez(desk, x=x[:1000], y=y[:1000], x_test=x[1400:], y_test=y[1400:])
    np.savez(sideways, x=turned[1000:1400], y=y[1000:1400], x_test=turned[1400:], y_test=y[1400:])

    print("1. A network with random weights is trained at the desk on 1,000 upright digits.")
    model = folder / "digits.onnx"
    onnx.save(network(), model)
    trained = pretrain(model, desk)
    print(f"   Upright digits it has not seen: {trained['accuracy_after']:.1%} right.\n")

    print("2. ONNX Runtime quantizes it to int8.")
    quantized = quantize(model, x[:200])
    print(f"   {quantized}\n")
    return quantized, sideways


def main(directory: str = "build/demo") -> dict:
    """Run the whole story in `directory`; returns what the device measured."""
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    quantized, sideways = prepare(folder)

    print("3. The camera now hangs sideways; the emulated Cortex-M7 learns from 400 turned digits.")
    result = adapt(quantized, sideways, folder / "device")
    print(
        f"\nTurned digits that it has not seen: {result['accuracy_before']:.1%} right before, "
        f"{result['accuracy_after']:.1%} after {result['steps']:,} steps on the device."
    )
    print(f"The C project is in {folder / 'device'}; model.c begins with the map of its memory.")
    return result


if __name__ == "__main__":
    main(*sys.argv[1:])
