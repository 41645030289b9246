"""Tiny Relax functions for the tests, and their kernels run on this computer."""

from __future__ import annotations

import numpy as np
import tvm
from tvm import relax

from relay_passes import lowering
from tvm_ondevice_train.interpreter import Interpreter
from tvm_ondevice_train.program import extract


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


def run(lowerable: tvm.IRModule, fuse: bool = False, **values: np.ndarray) -> list[np.ndarray]:
    """Results of ``main`` for the named arguments, computed by its C kernels."""
    program = extract(lowering(fuse)(lowerable), {})
    tensors = Interpreter(program, values).run()
    return [tensors[t.name] for t in program.results]


def gradients(differentiated: tvm.IRModule, **values: np.ndarray) -> dict[str, np.ndarray]:
    """Gradient of each trained parameter, from a module that `SparseBackward` made."""
    program = extract(lowering(fuse=False)(differentiated), {})
    constants = {"learning_rate": np.float32(0), "seed": np.uint32(0)}
    tensors = Interpreter(program, {**constants, **values}).run()
    return {
        op.outputs[0].name: tensors[op.inputs[1].name].reshape(op.outputs[0].shape)
        for op in program.ops
        if op.in_place
    }


def op_names(function_or_module) -> list[str]:
    """Short operator names of ``main`` in execution order."""
    from relay_passes.graph import bindings_of, op_name

    function = getattr(function_or_module, "__getitem__", lambda _: function_or_module)("main")
    names = [op_name(b.value) for b in bindings_of(function)]
    return [n.removeprefix("relax.") for n in names if n]
