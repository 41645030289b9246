"""Tiny Relax functions for the tests, and their kernels run on this computer."""

from __future__ import annotations

import numpy as np
import tvm
from instruments.interpreter import Interpreter
from tvm import relax, te

from relay_passes import lowering
from relay_passes.graph import bindings_of, op_name
from relay_passes.memory.read_step import read_step
from tvm_ondevice_train.model import Model, TensorSpec


def module(parameters: dict, body) -> tvm.IRModule:
    """``main`` with one dataflow block.

    parameters: name -> (shape, dtype). body(emit, *variables) gives the result, or a list of them.
    """
    variables = [relax.Var(n, relax.TensorType(s, d)) for n, (s, d) in parameters.items()]
    builder = relax.BlockBuilder()
    with builder.function("main", variables):
        with builder.dataflow():
            result = body(builder.emit, *variables)
            if isinstance(result, (list, tuple)):
                output = relax.Tuple([builder.emit_output(r) for r in result])
            else:
                output = builder.emit_output(result)
        builder.emit_func_output(output)
    return builder.get()


def quantize(real, scale: float, zero_point: int = 0):
    """Per-tensor ``relax.quantize`` to int8."""
    return relax.op.quantize(
        real, relax.const(scale, "float32"), relax.const(zero_point, "int8"), 0, "int8"
    )


def dequantize(codes, scale, zero_point: int = 0, dtype: str = "int8"):
    """``relax.dequantize``; `scale` is a number, or one for each slice along axis 0."""
    return relax.op.dequantize(
        codes,
        relax.const(np.asarray(scale, np.float32)),
        relax.const(zero_point, dtype),
        0,
        "float32",
    )


def kernel(source: te.Tensor, result: te.Tensor) -> tvm.IRModule:
    """``main(x)`` that calls one kernel: `result`, computed from the placeholder `source`."""
    dtype, shape = str(result.dtype), [int(n) for n in result.shape]
    variable = relax.Var("x", relax.TensorType([int(n) for n in source.shape], str(source.dtype)))
    builder = relax.BlockBuilder()
    with builder.function("main", [variable]):
        with builder.dataflow():
            primitive = builder.add_func(te.create_prim_func([source, result]), "kernel")
            call = relax.call_tir(primitive, (variable,), out_ty=relax.TensorType(shape, dtype))
            output = builder.emit_output(call)
        builder.emit_func_output(output)
    return builder.get()


def run(lowerable: tvm.IRModule, fuse: bool = False, **values: np.ndarray) -> list[np.ndarray]:
    """Results of ``main`` for the named arguments, computed by its C kernels."""
    program = read_step(lowering(fuse)(lowerable))
    tensors = Interpreter(program, values).run()
    return [tensors[t.name] for t in program.results]


def gradients(differentiated: tvm.IRModule, **values: np.ndarray) -> dict[str, np.ndarray]:
    """Gradient of each trained parameter, from a module that `SparseBackward` made."""
    program = read_step(lowering(fuse=False)(differentiated))
    constants = {"learning_rate": np.float32(0), "seed": np.uint32(0)}
    tensors = Interpreter(program, {**constants, **values}).run()
    return {
        op.outputs[0].name: tensors[op.inputs[1].name].reshape(op.outputs[0].shape)
        for op in program.tasks
        if op.updates
    }


def op_names(module: tvm.IRModule, function: str = "main") -> list[str]:
    """Short operator names of a function in execution order."""
    names = [op_name(b.value) for b in bindings_of(module[function])]
    return [n.removeprefix("relax.") for n in names if n]


def network(
    quantized: bool = False,
    names=("conv", "head"),
    name: str = "net",
    called=None,
    weight_scale=0.01,
) -> Model:
    """A model: 3x3 convolution, ReLU, mean, dense head of 3 outputs; input (1, 2, 6, 6).

    quantized: the convolution is int8 and so is the input. names: of the two layers. called:
    other names for parameters, or for the input x. weight_scale: the int8 weight's, one or four.
    """
    generator = np.random.default_rng(0)
    conv, head = names
    values = {
        f"{conv}.weight": generator.integers(-127, 128, (4, 2, 3, 3), dtype=np.int8),
        f"{conv}.bias": generator.integers(-99, 99, 4, dtype=np.int32),
        f"{head}.weight": generator.normal(size=(3, 4, 1, 1)).astype(np.float32),
        f"{head}.bias": np.zeros(3, np.float32),
    }
    if not quantized:
        values = {
            n: v.astype(np.float32) / (1 if n.startswith(head) else 100) for n, v in values.items()
        }
    op = relax.op

    def with_bias(emit, data, weight, bias):
        column = emit(op.reshape(bias, (1, -1, 1, 1)))
        return emit(op.add(emit(op.nn.conv2d(data, weight)), column))

    def body(emit, x, weight, bias, head_weight, head_bias):
        if quantized:
            x, weight = emit(dequantize(x, 0.1)), emit(dequantize(weight, weight_scale))
            bias = emit(dequantize(bias, 0.1 * np.asarray(weight_scale), dtype="int32"))
        y = emit(op.nn.relu(with_bias(emit, x, weight, bias)))
        if quantized:
            y = emit(dequantize(emit(quantize(y, 0.05, -128)), 0.05, -128))
        y = with_bias(emit, emit(op.mean(y, [2, 3], True)), head_weight, head_bias)
        return op.reshape(y, (1, 3))

    dtype = "int8" if quantized else "float32"
    called = called or {}
    values = {called.get(n, n): v for n, v in values.items()}
    source = {called.get("x", "x"): ((1, 2, 6, 6), dtype)}
    main = module({**source, **{n: (v.shape, str(v.dtype)) for n, v in values.items()}}, body)
    spec = TensorSpec((1, 2, 6, 6), dtype, 0.1 if quantized else None, 0 if quantized else None)
    return Model(name, main, values, spec)
