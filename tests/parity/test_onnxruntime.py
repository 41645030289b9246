"""The MCUNet models against ONNX Runtime, and the as-published ones under UBSan.

Every integer operator gets ONNX Runtime's own inputs, over 4 photographs and 4 samples of noise.
Measured, never by more than 1, against float32 between the codes and against integer kernels:
mcunet-5fps 32 and 22 of 6,683,712 codes, mbv2-w0.35 32 and 8 of 7,538,368, proxyless-w0.3 21 and
8 of 6,390,336, so 1 to 5 in a million. A fifth to a half of the former lie in the pool, where exact
ties are common. ONNX Runtime scales in float32, we by an exact 64-bit product. All classes agree,
of the as-published models, too.
"""

from __future__ import annotations

import functools

import numpy as np
import onnx
import onnxruntime
import pytest
from instruments.interpreter import Interpreter
from operators import Comparison, integer_operators, photographs
from shared import shared_path, slow_after

from relay_passes.memory.step import prediction
from tvm_ondevice_train.frontend import load
from tvm_ondevice_train.scheme.update_scheme import resolve
from tvm_ondevice_train.steps import build_steps

# fusion into integer kernels -> optimization level
FUSED = {
    False: onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
    True: onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
}
SANITIZER = ("-O1", "-fsanitize=undefined,float-cast-overflow")


def model_path(name: str):
    return shared_path(f"models/mcunet_int8/{name}.onnx")


def images() -> np.ndarray:
    """(8, 3, 128, 128) float32 in [-1, 1]: 4 photographs, then noise from faint to saturated."""
    pixels = [image.transpose(2, 0, 1).astype(np.float64) - 128 for image in photographs(4)]
    generator = np.random.default_rng(0)
    noise = [generator.normal(0, spread, (3, 128, 128)) for spread in (5, 20, 60, 300)]
    codes = np.clip(np.rint([*pixels, *noise]), -128, 127)
    return (codes * 2 / 255).astype(np.float32)


class Reference:
    """ONNX Runtime, made to return every int8 tensor of a model."""

    def __init__(self, path, fused: bool):
        proto = onnx.load(path)
        for node in proto.graph.node:
            if node.op_type == "QuantizeLinear":
                codes = onnx.helper.make_tensor_value_info(
                    node.output[0], onnx.TensorProto.INT8, None
                )
                proto.graph.output.append(codes)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = FUSED[fused]
        options.add_session_config_entry("session.qdqisint8allowed", "1")  # fuse int8, too
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(proto.SerializeToString(), options)

    def run(self, image: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        """Logits, and the codes in the order of the file, those of the input first."""
        logits, *codes = self.session.run(None, {"input": image[None]})
        return logits, codes


@pytest.fixture(scope="module")
def predictor():
    """name -> the model's prediction, kernel by kernel; built once."""

    @functools.cache
    def build(name: str) -> Interpreter:
        model = load(model_path(name))
        scheme = resolve("head", model.layers)
        _, evaluation = build_steps(model, scheme.trained, "cross_entropy", fuse=False)
        return Interpreter(prediction(evaluation), model.parameters)

    return build


@pytest.mark.parametrize("fused", FUSED, ids=["QDQ in float32", "integer kernels"])
@pytest.mark.parametrize("name", slow_after(1, ["mcunet-5fps", "mbv2-w0.35", "proxyless-w0.3"]))
def test_integer_operators(predictor, name, fused):
    ours, reference = predictor(name), Reference(model_path(name), fused)
    operators = integer_operators(ours.step)
    tensors = [operators[0].inputs[0], *(op.outputs[0] for op in operators)]
    found, agreeing = Comparison(), 0
    for image in images():
        logits, outputs = reference.run(image)
        found.add(ours, {t.name: codes for t, codes in zip(tensors, outputs, strict=True)})
        result = ours.run(input=outputs[0])[ours.step.results[0].name]
        agreeing += int(result.argmax() == logits.argmax())
    print(f"{name}, fused {fused}: {found}; {agreeing} of {len(images())} classes agree")
    assert found.largest <= 1
    assert found.differing <= 8e-6 * found.elements
    assert agreeing >= len(images()) - 1


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) for name in ("mcunet-5fps", "proxyless-w0.3")],
)
def test_dead_channels_as_published_cause_no_undefined_behaviour(name, capfd):
    """Forward, backward and update; ONNX Runtime gets the model where they cannot overflow."""
    model = load(model_path(f"as_published/{name}"))
    scheme = resolve("full", model.layers)
    program, _ = build_steps(model, scheme.trained, "cross_entropy", fuse=False)
    ours = Interpreter(program, model.parameters, SANITIZER)
    reference = Reference(model_path(name), fused=False)
    scores = next(op.inputs[0].name for op in program.tasks if op.kind == "log_softmax")
    agreeing = 0
    for image in images():
        logits, outputs = reference.run(image)
        values = train(ours, outputs[0], 0)
        agreeing += int(values[scores].argmax() == logits.argmax())
        assert np.isfinite(values[program.results[0].name])
    train(ours, outputs[0], 0.01)
    assert "runtime error" not in capfd.readouterr().err
    assert agreeing >= len(images()) - 1


def train(ours: Interpreter, codes: np.ndarray, learning_rate: float) -> dict[str, np.ndarray]:
    return ours.run(input=codes, target=[3], learning_rate=learning_rate, seed=1)
