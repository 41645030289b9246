"""What each pass does to a training step: to its IR, and to the memory it needs.

    python tutorials/02_the_passes.py [directory]

Training a network by the book takes many times the memory of running it: every activation waits
in float32 for its gradient. Here a small residual network is taken through the passes one by one.
After each we look at a few lines of the IR (TVMScript, shortened) and plan the memory of the step
as it is by then; at the end there is one table, and a picture of the arena before and after.

The network is two blocks of a MobileNetV2. The first is int8 and has the skip; the second is left
in float32, as layers that are to learn much often are. Its weights are random: nothing below
depends on their values.
"""

import logging
import re
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import tvm
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import quantization
from tvm import relax

import tvm_ondevice_train as odt
from relay_passes.graph import bindings_of, dtype_of, shape_of, tensor_bytes
from relay_passes.pipeline import STEP_ROLES, training_passes
from tvm_ondevice_train.arena_picture import draw_arena
from tvm_ondevice_train.codegen.planned_step import PlannedStep, plan_step
from tvm_ondevice_train.relay import transform
from tvm_ondevice_train.training_graph import loss_module

# What trains: a quarter of the input channels of one int8 weight, some biases, the head. The
# quantizer appends "_quantized" to what it quantizes. None stands for the whole parameter.
SCHEME = {
    "project.weight_quantized": list(range(12)),  # of 48
    "project.bias_quantized": None,
    "expand2.bias": None,
    "depthwise2.bias": None,
    "project2.bias": None,
    "head.weight": None,
    "head.bias": None,
}


# 1. The network, as an exporter would write it, quantized to int8 by ONNX Runtime but for its tail.


def network() -> onnx.ModelProto:
    random = np.random.default_rng(0)
    nodes, parameters = [], []

    def layer(op, name, x, y, *shape, **attributes):
        weight = random.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape).astype(np.float32)
        bias = np.zeros(shape[0], np.float32)
        inputs = [x, f"{name}.weight", f"{name}.bias"]
        parameters.append(numpy_helper.from_array(weight, inputs[1]))
        parameters.append(numpy_helper.from_array(bias, inputs[2]))
        nodes.append(helper.make_node(op, inputs, [y], name, **attributes))

    def conv(name, x, y, *shape, groups=1, relu=True):
        size = shape[-1]
        pads, result = [size // 2] * 4, f"{y}.conv" if relu else y
        layer("Conv", name, x, result, *shape, kernel_shape=[size, size], pads=pads, group=groups)
        if relu:
            nodes.append(helper.make_node("Relu", [result], [y], f"{name}.relu"))

    conv("stem", "image", "a", 8, 3, 3, 3)
    conv("expand", "a", "b", 48, 8, 1, 1)
    conv("depthwise", "b", "c", 48, 1, 3, 3, groups=48)
    conv("project", "c", "d", 8, 48, 1, 1, relu=False)
    nodes.append(helper.make_node("Add", ["d", "a"], ["e"], "skip"))
    nodes.append(
        helper.make_node("MaxPool", ["e"], ["f"], "pool", kernel_shape=[2, 2], strides=[2, 2])
    )
    conv("expand2", "f", "g", 32, 8, 1, 1)
    conv("depthwise2", "g", "h", 32, 1, 3, 3, groups=32)
    conv("project2", "h", "i", 16, 32, 1, 1, relu=False)
    nodes.append(helper.make_node("GlobalAveragePool", ["i"], ["j"], "mean"))
    nodes.append(helper.make_node("Flatten", ["j"], ["k"], "flatten"))
    layer("Gemm", "head", "k", "logits", 10, 16, transB=1)
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 16, 16])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 10])
    graph = helper.make_graph(nodes, "residual", [image], [logits], parameters)
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=9)


class Calibration(quantization.CalibrationDataReader):
    def __init__(self):
        images = np.random.default_rng(1).uniform(-1, 1, (16, 1, 3, 16, 16)).astype(np.float32)
        self.batches = iter([{"image": image} for image in images])

    def get_next(self):
        return next(self.batches, None)


def quantized(folder: Path) -> Path:
    logging.getLogger().setLevel(logging.ERROR)  # it recommends a preparation not needed here
    model, path = network(), folder / "residual_int8.onnx"
    names = [node.name for node in model.graph.node]
    onnx.save(model, folder / "residual.onnx")
    quantization.quantize_static(
        folder / "residual.onnx",
        path,
        Calibration(),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
        activation_type=quantization.QuantType.QInt8,
        weight_type=quantization.QuantType.QInt8,
        nodes_to_exclude=names[names.index("expand2") :],
    )
    return path


# 2. The passes are those of `odt.compile`, in the order of `relay_passes/pipeline.py`; each can be
#    left out, to see what it is worth. A pass is a function from module to module.

SPARSE = "SparseBackward"
DEAD = "EliminateDeadGradients"
INTEGER = "LowerQDQ"
FUSE = "FusePrologue, FuseOps"
REORDER = "ReorderForMemory"
IN_PLACE = "results in place"
PASSES = (SPARSE, DEAD, INTEGER, FUSE, REORDER, IN_PLACE)


def passes_of(on, everything, scratch=None) -> tuple[list, list]:
    """Those that work on operators, and those from there to loop nests. `on` names who takes part.

    scratch : kernels that get little scratch memory or none, at the price of speed.
    """
    trained = SCHEME if SPARSE in on else everything
    passes = training_passes(trained, backward="float32", scratch=scratch)
    out = {name for names in set(PASSES) - {*on, SPARSE} for name in names.split(", ")}
    passes = [each for each in passes if each.info.name.removeprefix("odt.") not in out]
    lowered = [each.info.name for each in passes].index("odt.LegalizeOps")
    return passes[:lowered], passes[lowered:]


class Step(NamedTuple):
    """A training step with some of the passes: its IR twice, and the plan of its memory."""

    graph: tvm.IRModule
    kernels: tvm.IRModule
    planned: PlannedStep

    @property
    def operators(self) -> int:
        values = [binding.value for binding in bindings_of(self.graph["main"])]
        return sum(isinstance(value, relax.Call) for value in values)

    @property
    def arena_bytes(self) -> int:
        return self.planned.plan.total_bytes

    @property
    def state_bytes(self) -> int:
        main = self.graph["main"]
        names = set(map(str, main.attrs["trained_parameters"]))
        trained = [p for p in main.params if p.name in names]
        return sum(tensor_bytes(shape_of(p), dtype_of(p)) for p in trained)


def build(loss: tvm.IRModule, on) -> Step:
    everything = [parameter.name for parameter in loss["main"].params[2:]]
    graph = tvm.transform.Sequential(passes_of(on, everything)[0])(loss)
    scratch, less = None, {}
    while scratch != less:  # speed must not cost memory where that is the limit
        scratch = less
        kernels = tvm.transform.Sequential(passes_of(on, everything, scratch)[1])(graph)
        step = transform.read_step(kernels, STEP_ROLES)
        less = transform.with_less_scratch(step, scratch)
    return Step(graph, kernels, plan_step(step, in_place=IN_PLACE in on))


# 3. What is shown: a few lines of IR, and one row of the table.


class Row(NamedTuple):
    """Of the step with the passes so far. without_bytes: the arena with all passes but this one."""

    name: str
    operators: int
    kernels: int
    arena_bytes: int
    without_bytes: int | None
    state_bytes: int

    def __str__(self) -> str:
        without = "" if self.without_bytes is None else f"{self.without_bytes:,}"
        counts = f"{self.operators:>9} {self.kernels:>7} {self.arena_bytes:>9,}"
        return f"{self.name:<24}{counts} {without:>12} {self.state_bytes:>13,}"


HEADING = f"{'passes so far':<24}operators kernels     arena  all but this trained state"


def row(name: str, step: Step, without: Step | None = None) -> Row:
    kernels = len(step.planned.step.tasks)
    bytes_without = without and without.arena_bytes
    return Row(name, step.operators, kernels, step.arena_bytes, bytes_without, step.state_bytes)


def show(module: tvm.IRModule, *patterns: str):
    """Print the lines of the IR in which a pattern is found, without types and most attributes."""
    for line in module["main"].script().splitlines():
        line = re.sub(r": R\.\w+\(.*?\) = ", " = ", line.strip())
        line = re.sub(r"R\.const\(([^,]+), \"\w+\"\)", r"\1", line)
        line = re.sub(r"metadata\[[^]]*\]\[\d+\]", "scales", line)
        line = re.sub(r"(\.\d{4})\d+", r"\1", line)
        line = re.sub(r", out_ty=.*\)", ")", line)
        kept = r"mask|saved|ranges|shape|pool_size"
        line = re.sub(rf", (?!({kept})=)\w+=(\[[^]]*\]|[^,)]*)(?=[,)])", "", line)
        line = line.replace(", mask=False", "")
        if " = " in line and any(re.search(pattern, line) for pattern in patterns):
            print("   ", line)


def sharing(planned: PlannedStep) -> list[str]:
    """The names of the operators whose result takes an operand's bytes."""
    writers = {t.name: op.name for op in planned.step.tasks for t in op.outputs}
    return [writers[t] for t, place in planned.places.items() if t in writers and t != place.buffer]


def tour(loss: tvm.IRModule) -> tuple[list[Row], Step, Step]:
    """One pass more at a time. Gives the table, the step before all passes, and that after."""
    steps = [build(loss, PASSES[:count]) for count in range(len(PASSES) + 1)]
    full, sparse, dead, integer, fused, ordered, final = steps
    without = [build(loss, set(PASSES) - {name}) for name in PASSES]
    rows = [row("full backward", full)]
    rows += map(row, PASSES, steps[1:], without)

    def tell(count, text):
        print(f"\n{text}\n\n  {HEADING}\n  {rows[count]}\n")

    print("\n1. The loss, in QDQ form: float operators between dequantize and quantize.\n")
    show(loss, "project_weight", r"conv2d\(lv21", r"quantize\(lv26")
    tell(0, "Differentiated for every parameter, everything is there, and in float32.")

    print("2. SparseBackward: gradients only of what trains, and nothing below the first of it.")
    print("   A weight of which 12 of 48 input channels train becomes two; only these channels")
    print("   of its input are saved (take_channels), and only their gradient is computed.\n")
    show(sparse.graph, "merge_channels", "take_channels", r"weight_grad\(.*12,")
    show(sparse.graph, r"sgd_update_codes\(project_weight")
    tell(1, "No adjoint is left below that convolution, and little of the trained state.")

    print("3. EliminateDeadGradients: the backward reads the ReLU's result only for its sign, so")
    print("   one bit an element is cut from it while it is there. Nothing falls yet: this is a")
    print("   mark for the passes behind. Look at the column `all but this` in the end.\n")
    show(dead.graph, "positive_mask")
    tell(2, "A training step of TVM's own Gradient may come in too; what nobody reads goes.")

    print("4. LowerQDQ: dequantize, float operator, quantize become one integer operator; where")
    print("   the backward needs to know which codes were clamped, with a mask as second result.\n")
    show(integer.graph, "depthwise_weight", r"qconv2d\(.*, project_bias", "qadd")
    tell(3, "The float32 activations of the int8 layers are gone.")

    print("   FusePrologue and FuseOps: a kernel reads what is cheap on the fly, and does what")
    print("   follows as well. A weight gradient goes into its update and is never stored.\n")
    show(fused.kernels, "weight_grad")
    tell(4, "Fewer kernels, fewer results that have to lie somewhere.")

    print(
        "5. ReorderForMemory: an update as soon as it can, a mask while its activation is there.\n"
    )
    show(ordered.kernels, "positive_mask", r"conv2d1_add", "take_channels", "gv6 =")
    attrs = ordered.kernels["main"].attrs
    peak, bound = (int(attrs[name]) for name in ("peak_bytes", "peak_lower_bound_bytes"))
    print(f"\n   peak {peak:,} bytes, no order below {bound:,}, found by: {attrs['order_method']}")
    tell(5, "The peak counts on results in place; without them the arena is larger than that.")

    print("6. A result takes its operand's bytes where the kernel's loads and stores allow it.\n")
    for name in sharing(final.planned):
        print("   ", name)
    plan = final.planned.plan
    tell(
        6, f"Arena {plan.total_bytes:,}, lower bound {plan.lower_bound_bytes:,}: {plan.algorithm}."
    )
    return rows, full, final


# 7. The picture, and the front door, which does the same in one call.


def draw(before: Step, after: Step, folder: Path):
    top_bytes = before.arena_bytes + before.state_bytes
    maps = {
        "before": (before, "Full backward, no passes", None),
        "after": (after, "All passes, at the scale of the map before", top_bytes),
        "after_enlarged": (after, "All passes", None),
    }
    print("\nThe arena, op by op:")
    for name, (step, title, top) in maps.items():
        path = folder / f"arena_{name}.png"
        draw_arena(step.planned, path, title, top)
        print("   ", path)


def main(directory: str = "build/tutorial_02") -> list[Row]:
    """Make, take apart and draw everything in `directory`; returns the rows of the table."""
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    model = odt.load(quantized(folder))
    rows, before, after = tour(loss_module(model, "cross_entropy"))
    print(HEADING, *rows, sep="\n")
    draw(before, after, folder)

    channels = {name: odt.Channels(tuple(c)) if c else "all" for name, c in SCHEME.items()}
    compiled = odt.compile(model, scheme=odt.UpdateScheme(channels), board="mps2-an500")
    inference = compiled.planned.evaluate.plan.total_bytes
    print(f"\nodt.compile: an arena of {compiled.report['arena_bytes']:,} bytes, ", end="")
    print(f"of which a forward with its loss alone needs {inference:,}.")
    return rows


if __name__ == "__main__":
    main(*sys.argv[1:])
