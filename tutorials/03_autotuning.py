"""Which schedule of a kernel is the fastest? Ask the board.

    python tutorials/03_autotuning.py [directory]

A convolution is computed a tile at a time: some pixels of some output channels. How large a tile is
best depends on registers, on what the compiler makes of the loops, on what a call of a microkernel
costs. Nobody works that out on paper. Here one kernel of a small int8 network is taken apart: what
can be chosen, what each choice costs on an emulated Cortex-M7, how the search finds a good one
without trying all, and what becomes of it in the compiled step.
"""

import logging
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import quantization

import tvm_ondevice_train as odt
from tvm_ondevice_train.boards import board as find_board
from tvm_ondevice_train.device import Session
from tvm_ondevice_train.tune.firmware import batch_of
from tvm_ondevice_train.tune.runners import EmulatorRunner
from tvm_ondevice_train.tune.tasks import Recorder, Task, tasks_of
from tvm_ondevice_train.tune.tuner import TuningResult, tune
from tvm_ondevice_train.tuning import target_of

BOARD = "mps2-an500"
LAYER = "expand"  # the layer whose kernel is tuned
SHAPE = (1, 8, 24, 24)  # of the image
TRIALS = 60


# 1. A network: two 1x1 convolutions with a pool between them, the mean, a classifier; quantized by
#    ONNX Runtime.


class Calibration(quantization.CalibrationDataReader):
    def __init__(self, images):
        self.images = iter([{"image": image} for image in images])

    def get_next(self):
        return next(self.images, None)


def network(folder: Path) -> Path:
    random = np.random.default_rng(0)

    def parameter(name, *shape):
        values = random.normal(0, 0.2, shape).astype(np.float32)
        return numpy_helper.from_array(values, name)

    def value(name, *shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    nodes = [
        helper.make_node("Conv", ["image", "stem.weight", "stem.bias"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MaxPool", ["b"], ["c"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["c", f"{LAYER}.weight", f"{LAYER}.bias"], ["d"]),
        helper.make_node("Relu", ["d"], ["e"]),
        helper.make_node("GlobalAveragePool", ["e"], ["f"]),
        helper.make_node("Flatten", ["f"], ["g"]),
        helper.make_node("Gemm", ["g", "head.weight", "head.bias"], ["logits"], transB=1),
    ]
    parameters = [
        parameter("stem.weight", 16, SHAPE[1], 1, 1),
        parameter("stem.bias", 16),
        parameter(f"{LAYER}.weight", 24, 16, 1, 1),
        parameter(f"{LAYER}.bias", 24),
        parameter("head.weight", 4, 24),
        parameter("head.bias", 4),
    ]
    graph = helper.make_graph(
        nodes, "small", [value("image", *SHAPE)], [value("logits", 1, 4)], parameters
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, folder / "float.onnx")
    logging.getLogger().setLevel(logging.ERROR)  # it recommends a preparation not needed here
    quantization.quantize_static(
        folder / "float.onnx",
        folder / "small.onnx",
        Calibration(random.uniform(-1, 1, (8, *SHAPE)).astype(np.float32)),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
        activation_type=quantization.QuantType.QInt8,
        weight_type=quantization.QuantType.QInt8,
    )
    return folder / "small.onnx"


# 2. Its kernels. While a model is compiled, schedules ask for their decisions by name; a recorder
#    answers with the defaults and remembers the questions. A kernel with questions is a task.


def convolution(model: Path) -> Task:
    recorder = Recorder(target_of(find_board(BOARD)))
    compiled = odt.compile(model, board=BOARD, tuning=recorder)
    tasks = tasks_of(compiled, recorder)
    return next(task for task in tasks if task.name.startswith(f"{LAYER}:"))


# 3. Candidates are measured in batches: all of them in one firmware, each run on the same operands,
#    its results compared with those of the default, its instructions counted in the emulator.


def measure(task: Task, name: str) -> dict[int, int]:
    """Guest instructions for each candidate of one choice, the others at their default."""
    (choice,) = (choice for choice in task.choices if choice.name == name)
    kernels = [task.kernel({name: value}) for value in choice.candidates]
    _, *results = EmulatorRunner().measure(batch_of(task, kernels, BOARD))
    return {
        value: result.cost
        for value, result in zip(choice.candidates, results, strict=True)
        if result.error is None
    }


# 4. The search: MetaSchedule's evolutionary search with its XGBoost cost model. What it finds goes
#    to a file, by what the kernel is, not by its name: another model with it needs no search.


def search(model: Path, output: Path, task: Task) -> TuningResult:
    return tune(
        model,
        board=BOARD,
        output=output,
        trials=TRIALS,
        only=lambda other: other.signature == task.signature,
        made_by="tutorials/03_autotuning.py",
    )


# 5. The step with and without what was found: the same bits in fewer instructions.


def predict(model: Path, tuning, directory: Path) -> tuple[np.ndarray, int]:
    """The outputs for one image, and the instructions of that prediction."""
    project = odt.compile(model, board=BOARD, tuning=tuning).save(directory)
    image = np.random.default_rng(1).uniform(-1, 1, SHAPE[1:]).astype(np.float32)
    with Session(project) as device:
        outputs = device.predict(image)
    return outputs, device.counts["predict"][1]


def main(directory: str = "build/tuning") -> dict:
    """Run it all in `directory`; returns what was found and measured."""
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    model = network(folder)

    print("1. The kernel, and what its schedule asks:\n")
    task = convolution(model)
    print(f"   {task.name}, {task.macs:,} multiply-accumulates")
    choices = [choice for choice in task.choices if len(choice.candidates) > 1]
    for choice in choices:
        candidates = ", ".join(map(str, choice.candidates))
        print(f"   {choice.name:13} one of {candidates}; by default {choice.default}")
    print(f"   {task.space} candidates in all\n")

    print("2. What one choice costs, the others left alone, in guest instructions:\n")
    costs = {choice.name: measure(task, choice.name) for choice in choices}
    for name, measured in costs.items():
        for value, cost in measured.items():
            print(f"   {name} = {value:<4} {cost:>9,}  {cost / task.macs:6.2f} per MAC")
        print()

    print(f"3. A search with {TRIALS} trials:\n")
    output = folder / "tune.json"
    output.unlink(missing_ok=True)
    result = search(model, output, task)
    best = result.tuning.kernels[task.signature]
    found = ", ".join(f"{name} = {value}" for name, value in best.decisions.items())
    print(f"   default {best.default_cost:,}, tuned {best.cost:,}: {found}")
    print(f"   written to {output}\n")

    print("4. A prediction of the whole network:\n")
    before, default = predict(model, "none", folder / "default")
    after, tuned = predict(model, output, folder / "tuned")
    assert (before == after).all(), "tuning changes no result"
    print(f"   default {default:,}, tuned {tuned:,} guest instructions; the same outputs")
    return {"task": task, "costs": costs, "best": best, "default": default, "tuned": tuned}


if __name__ == "__main__":
    main(*sys.argv[1:])
