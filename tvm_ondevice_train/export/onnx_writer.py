"""A model as an ONNX file: the float operators of its canonical form, QDQ where it is int8.

    input (float32) -> QuantizeLinear -> DequantizeLinear -> Conv -> ... -> output (float32)

Initializers carry the names and the shapes that users know of the parameters (`Model.parameters`),
as stored: int8 weights and int32 biases behind a DequantizeLinear with their scale, which is called
NAME_scale. The same model gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import helper, numpy_helper
from tvm import relax

from relay_passes.graph import bindings_of, constant, consumers_of, dtype_of, op_name, shape_of

from ..errors import OdtError
from ..file_forms import FORMS
from ..file_forms.form import Pattern, Write
from ..model import Model

OPSET, IR_VERSION = 19, 9  # dilated average pools came with 19; a node may ask for more
PRODUCER = "ondevice-train"


def onnx_model(model: Model) -> onnx.ModelProto:
    """`model` in ONNX; the output is what its file says, in float32.

    Where the device gives logits, as a loss brings the softmax, it is that softmax here.

    The input is float32 in the layout of the source, also where the device reads int8 codes: its
    QuantizeLinear gives the codes that the host sends to the device. Where nothing says what the
    input's codes stand for it takes int8 codes itself.

    Raises OdtError for an operator that has no form in ONNX.
    """
    proto = Writer(model).run()
    onnx.checker.check_model(proto)
    return proto


def onnx_bytes(model: Model) -> bytes:
    """The file of `onnx_model`."""
    return onnx_model(model).SerializeToString(deterministic=True)


def onnx_or_reason(model: Model) -> tuple[bytes | None, str | None]:
    """The file of `onnx_model`, or why there is none."""
    try:
        return onnx_bytes(model), None
    except OdtError as error:
        return None, str(error)


class Writer:
    """State of one walk over the bindings; `FORMS` says how each operator is written."""

    def __init__(self, model: Model):
        self.model = model
        self.function = model.module["main"]
        self.source = self.function.params[0]
        self.values = {b.var: b.value for b in bindings_of(self.function)}
        self.consumers = consumers_of(self.function)
        self.nodes: list[onnx.NodeProto] = []
        self.opset = OPSET
        self.initializers = dict(model.parameters)
        self.names: dict[relax.Var, str] = {p: p.name for p in self.function.params[1:]}
        self._taken = set(model.parameters)
        self._output = self._unique("output")
        self._shared: dict[tuple, str] = {}
        self._result = self._behind_aliases(self.function.body.body)

    def run(self) -> onnx.ModelProto:
        graph_input = self._write_input()
        matched = {var: pattern for var in self.values if (pattern := self._pattern(var))}
        inside = {var for pattern in matched.values() for var in pattern.inside}
        for var, value in self.values.items():
            if isinstance(value, relax.Var):
                self.names[var] = self.names[value]
            elif var in matched:
                self.names[var] = matched[var].write(self, var)
            elif var not in inside:
                self.names[var] = self._writer_of(value)(self, var, value)
        return self._assemble(graph_input)

    def _pattern(self, var: relax.Var) -> Pattern | None:
        """Several operators that ONNX has as one, of which `var` is the last."""
        form = FORMS.get(op_name(self.values[var]))
        return form.match(self, var) if form and form.match else None

    def _writer_of(self, value: relax.Expr) -> Write:
        form = FORMS.get(op_name(value))
        if form is None or form.write is None:
            name = op_name(value) or type(value).__name__
            raise OdtError(f"{self.model.name}: operator {name} has no form in ONNX")
        return form.write

    # -- what writers of operators use ---------------------------------------------------------

    def operand(self, expr: relax.Expr) -> str:
        """Name of the tensor that an operand is."""
        value = constant(expr)
        return self.names[expr] if value is None else self.constant(value, "constant")

    def constant(self, value: ArrayLike, base: str) -> str:
        """A new initializer; the name that it got."""
        name = self._unique(base)
        self.initializers[name] = np.asarray(value)
        return name

    def integers(self, values: Sequence[int], base: str) -> str:
        """As `constant`, of a shape or axes."""
        return self.constant(np.array(values, np.int64), base)

    def shared_constant(self, value: np.generic, base: str) -> str:
        """As `constant`, but equal ones are one."""
        key = (base, str(value.dtype), value.shape, value.tobytes())
        if key not in self._shared:
            self._shared[key] = self.constant(value, base)
        return self._shared[key]

    def node(
        self,
        kind: str,
        inputs: Iterable[str],
        var: relax.Var | None = None,
        name: str | None = None,
        opset: int = OPSET,
        **attributes: Any,
    ) -> str:
        """A new node and the name of its result, the one for `var` if that is the model's own.

        opset : the version of ONNX's operators that brought this one.
        """
        self.opset = max(self.opset, opset)
        name = self._unique(name or kind)
        is_result = var is not None and var.same_as(self._result)
        result = self._output if is_result else self._unique(f"{name}.out")
        self.nodes.append(helper.make_node(kind, list(inputs), [result], name=name, **attributes))
        return result

    def only_reader(self, var: relax.Var) -> bool:
        """Whether one operator alone reads `var`."""
        return len(self.consumers.get(var, [])) == 1 and not var.same_as(self._result)

    # ------------------------------------------------------------------------------------------

    def _unique(self, base: str) -> str:
        name, count = base, 1
        while name in self._taken:
            count += 1
            name = f"{base}_{count}"
        self._taken.add(name)
        return name

    def _behind_aliases(self, var: relax.Var) -> relax.Var:
        while isinstance(self.values.get(var), relax.Var):
            var = self.values[var]
        return var

    def _write_input(self) -> onnx.ValueInfoProto:
        spec, name = self.model.input, self._unique(self.source.name)
        self.names[self.source] = name
        is_code = dtype_of(self.source) == "int8"
        if is_code and spec.scale is not None and spec.zero_point is not None:
            operands = self.quantization(spec.scale, spec.zero_point)
            self.names[self.source] = self.node("QuantizeLinear", [name, *operands])
            dtype = onnx.TensorProto.FLOAT
        else:
            dtype = helper.np_dtype_to_tensor_dtype(np.dtype(dtype_of(self.source)))
        return helper.make_tensor_value_info(name, dtype, shape_of(self.source))

    def quantization(self, scale: float | np.ndarray, zero_point: int | np.ndarray) -> list[str]:
        """Scale and zero point of an activation."""
        return [
            self.shared_constant(np.float32(scale), "scale"),
            self.shared_constant(np.int8(zero_point), "zero_point"),
        ]

    def _assemble(self, graph_input: onnx.ValueInfoProto) -> onnx.ModelProto:
        result = helper.make_tensor_value_info(
            self._output, onnx.TensorProto.FLOAT, self.model.output_shape
        )
        graph = helper.make_graph(
            self.nodes,
            self.model.name,
            [graph_input],
            [result],
            [numpy_helper.from_array(v, name) for name, v in self.initializers.items()],
        )
        return helper.make_model(
            graph,
            producer_name=PRODUCER,
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", self.opset)],
        )
