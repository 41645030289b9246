"""Rebuild an imported Relax function in canonical form (see `Model`).

One walk over the bindings re-emits each operator. A tensor is carried as a physical variable plus
the permutation that gives the source's logical axes, so that transposes cost nothing until an
operator insists on an order; NHWC networks become NCHW this way without a single copy. Constants
stay numpy until an operator reads them, which is where they become named parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from tvm import relax

from relay_passes.graph import (
    bindings_of,
    constant,
    consumers_of,
    dtype_of,
    is_call_of,
    op_name,
    shape_of,
    variables_in,
)

from ..errors import ModelError, Obstacle, OdtError, one_line
from ..model import Model, TensorSpec
from .parameters import Parameters
from .places import places_of
from .quantized_values import ACTIVATION_CODES, Parameter, check_codes
from .sources import Sources

if TYPE_CHECKING:
    from ..file_forms.form import FileForm

NHWC = (0, 2, 3, 1)  # logical NHWC axis -> physical NCHW axis
_SUPPORTED = (
    "supported are convolutions, fully connected layers, batch norm, the usual activations, "
    'pooling, elementwise arithmetic, concat, reshape and transpose (README, "What it compiles")'
)


@dataclass(frozen=True)
class Value:
    """Physical variable; logical axis i lies at physical axis perm[i].

    Physical axes that no logical one uses have length 1 (a pooled 1xCx1x1 read as 1xC).
    """

    var: relax.Expr
    perm: tuple[int, ...]


Source = Value | Parameter  # what an operand of the source function is


@dataclass(frozen=True)
class Codes:
    """How an int8 variable was made: its codes stand for ``(q - zero_point) * scale``."""

    real: relax.Expr | None
    scale: float
    zero_point: int


class Canonicalizer:
    """State of one walk. `forms` says how each operator is read, by name."""

    def __init__(
        self,
        name: str,
        function: relax.Function,
        parameters: Mapping[relax.Var, tuple[str | None, np.ndarray]],
        forms: Mapping[str, FileForm],
        input_coding: tuple[float, int] | None = None,
        all_learned: bool = False,
    ) -> None:
        """input_coding: scale and int8 zero point of an input of codes, where the file says them.

        all_learned : `parameters` are what training learned; else there may be constants of
            formulas among them, which must not train.
        """
        self.name = name
        self.function = function
        self.forms = forms
        self.input_coding = input_coding
        self.consumers = consumers_of(function)
        self.builder = relax.BlockBuilder()
        self.sources = Sources(function, parameters)
        self.env: dict[relax.Var, Source | tuple[Source, ...]] = dict(self.sources.parameters)
        self.all_learned = all_learned
        self.learned: list[str] = []  # what trains beside the layers' own
        self.numbers: list[str] = []  # single ones of formulas, by their names in the file
        self.parameters = Parameters(name, self.emit)
        self.codes: dict[relax.Expr, Codes] = {}
        self.decoded: dict[
            relax.Expr, tuple[relax.Expr, float, int]
        ] = {}  # real -> (codes, scale, zero point)
        self.linear: dict[relax.Expr, tuple[str, str | None]] = {}  # output -> (weight, bias)
        self.linear_count = 0
        self.places = places_of(function)
        self.obstacles: list[Obstacle] = []
        self.unknown: set[relax.Var] = set()  # what they give, and all that depends on it

    def computed_from(self, origins: Mapping[relax.Var, tuple[str, ...]]) -> None:
        """What an importer computed: parameter of the source -> `Parameter.origins`."""
        for var, names in origins.items():
            self.env[var] = replace(self.sources.parameters[var], origins=names)

    # -- reading operands ---------------------------------------------------------------------

    def read(self, expr: relax.Expr) -> Source:
        """The `Value` or `Parameter` behind an operand of the source function."""
        found = self.env[expr] if isinstance(expr, relax.Var) else constant(expr)
        if found is None or isinstance(found, tuple):
            raise OdtError(f"{self.name}: an operand of kind {type(expr).__name__} is unsupported")
        if isinstance(found, np.ndarray):
            return self.sources.parameter(expr, found)
        return found

    def read_data(self, expr: relax.Expr) -> Value:
        """An operand that must depend on the input."""
        value = self.read(expr)
        if isinstance(value, Parameter):
            raise ValueError("it reads a constant where data is wanted")
        return value

    def read_constant(self, expr: relax.Expr) -> Parameter:
        """An operand that must not depend on the input."""
        value = self.read(expr)
        if isinstance(value, Value):
            raise ValueError("it reads data where a constant is wanted")
        return value

    def scalar(self, expr: relax.Expr, what: str) -> float:
        """Value of an operand that must be one number (a scale, a zero point)."""
        value = self.read(expr)
        if not isinstance(value, Parameter) or value.value.size != 1:
            raise OdtError(f"{what} must be one constant number; per-channel is for weights only")
        return value.value.reshape(()).item()

    def physical(self, value: Value, perm: tuple[int, ...] | None = None) -> relax.Expr:
        """Variable whose axes lie as `perm` says (default: logical order)."""
        perm = perm or tuple(range(len(value.perm)))
        var, source = value.var, value.perm
        shape = shape_of(var)
        if len(source) < len(shape):
            kept = sorted(source)
            extents = [shape[p] for p in kept]
            var = self.emit_moved(var, lambda v: relax.op.reshape(v, extents))
            source = tuple(kept.index(p) for p in source)
        if source == perm:
            return var
        axes = [0] * len(perm)
        for logical, target in enumerate(perm):
            axes[target] = source[logical]
        return self.emit_moved(var, lambda v: relax.op.permute_dims(v, axes))

    def tensor(self, expr: relax.Expr, perm: tuple[int, ...] | None = None) -> relax.Expr:
        """An operand as a variable in the order `perm`, whatever it was."""
        value = self.read(expr)
        if isinstance(value, Parameter):
            value = Value(self.emit_parameter(value), tuple(range(value.value.ndim)))
        return self.physical(value, perm)

    # -- emitting -----------------------------------------------------------------------------

    def emit(self, expr: relax.Expr) -> relax.Var:
        return self.builder.emit(expr)

    def emit_moved(self, source: relax.Expr, move: Callable[[relax.Expr], relax.Expr]) -> relax.Var:
        """Emit ``move(source)``, a pure data movement.

        Where `source` is decoded from int8 codes the codes move, a quarter of the bytes.
        """
        if source in self.decoded:
            codes, scale, zero_point = self.decoded[source]
            return self.emit_dequantize(self.emit_moved(codes, move), scale, zero_point)
        var = self.emit(move(source))
        if source in self.codes:
            codes = self.codes[source]
            self.codes[var] = Codes(None, codes.scale, codes.zero_point)
        return var

    def emit_quantize(self, real: relax.Expr, scale: float, zero_point: int) -> relax.Var:
        operands = real, *_constants(scale, zero_point)
        var = self.emit(relax.op.quantize(*operands, axis=0, out_dtype="int8"))
        self.codes[var] = Codes(real, scale, zero_point)
        return var

    def emit_dequantize(self, codes: relax.Expr, scale: float, zero_point: int) -> relax.Var:
        self.codes.setdefault(codes, Codes(None, scale, zero_point))
        operands = codes, *_constants(scale, zero_point)
        var = self.emit(relax.op.dequantize(*operands, axis=0, out_dtype="float32"))
        self.decoded[var] = (codes, scale, zero_point)
        return var

    def emit_real(self, codes: relax.Expr) -> relax.Var:
        """What int8 `codes` stand for."""
        return self.emit_dequantize(codes, *self._coding(codes))

    def emit_codes(self, real: relax.Expr, like: relax.Expr) -> relax.Var:
        """`real` as codes of the scale and zero point that those in `like` have."""
        return self.emit_quantize(real, *self._coding(like))

    def _coding(self, codes: relax.Expr) -> tuple[float, int]:
        if codes not in self.codes:
            raise OdtError(
                f"{self.name}: the file does not say the scale of the integers that an operator "
                "reads; dequantize them first"
            )
        return self.codes[codes].scale, self.codes[codes].zero_point

    def emit_parameter(self, parameter: Parameter, fallback: str = "constant") -> relax.Expr:
        """A parameter of the canonical function, see `Parameters.emit`."""
        return self.parameters.emit(parameter, fallback)

    def emit_learned(self, parameter: Parameter, fallback: str) -> relax.Expr:
        """As `emit_parameter`, of what no layer counts as its own, but training can change."""
        var = self.emit_parameter(parameter, fallback)
        if parameter.name is not None and parameter.scale is None:
            self.learned.append(self.parameters.names[var])
        return var

    def read_once(self, name: str) -> bool:
        """Whether one operator alone reads the parameter in the source."""
        return self.sources.readers(self.parameters.declared[name].source) < 2

    # -- the walk -----------------------------------------------------------------------------

    def run(self, input_var: relax.Var) -> Model:
        with self.builder.function("main", private=False):
            with self.builder.dataflow():
                source = self._declare_input(input_var)
                self._operators()
                output = self.builder.emit_output(self._output())
            parameters = [source, *self.parameters.vars.values()]
            self.builder.emit_func_output(output, parameters)
        module = relax.transform.DeadCodeElimination()(self.builder.get())
        codes = self.codes.get(source)
        quantization = (codes.scale, codes.zero_point) if codes else ()
        spec = TensorSpec(shape_of(source), dtype_of(source), *quantization)
        learned, numbers = (tuple(dict.fromkeys(n)) for n in (self.learned, self.numbers))
        values, computed = self.parameters.values, self.parameters.computed
        return Model(self.name, module, values, spec, learned, numbers, computed)

    def _declare_input(self, input_var: relax.Var) -> relax.Var:
        """Let an int8 network take int8 samples: hoist the input's quantize to the host.

        A float32 sample of 128x128x3 is 192 KB, its codes are 48 KB.
        """
        shape, dtype = shape_of(input_var), dtype_of(input_var)
        readers = self.consumers.get(input_var, [])
        hoisted = len(readers) == 1 and is_call_of(readers[0].value, "relax.quantize")
        if hoisted or dtype == "uint8":
            dtype = "int8"
        if dtype not in ("float32", "int8"):
            raise OdtError(
                f"{self.name}: the input is {dtype}; float32, int8 and uint8 can be compiled"
            )
        source = relax.Var(input_var.name, relax.TensorType(shape, dtype))
        value = Value(source, tuple(range(len(shape))))
        self.env[input_var] = value
        if self.input_coding and dtype == "int8":
            self.codes[source] = Codes(None, *self.input_coding)
        if hoisted:
            scale, zero_point = self.quantization(readers[0].value)
            self.codes[source] = Codes(None, scale, zero_point)
            self.env[readers[0].var] = value
        return source

    def quantization(self, call: relax.Call) -> tuple[float, int]:
        """Scale and int8 zero point of an activation's quantize or dequantize.

        uint8 codes become int8 codes: ``q_int8 = q_uint8 - 128``, the real value is the same.
        """
        kind = _short(op_name(call))
        dtype = str(call.attrs.out_dtype) if kind == "quantize" else dtype_of(call.args[0])
        names = [self.read_constant(operand).name for operand in call.args[1:3]]
        where = f'{self.name}: the {kind} of scale "{names[0] or names[1] or "without a name"}"'
        check_codes(dtype, where, ACTIVATION_CODES)
        scale, zero_point = (
            self.scalar(operand, f"{where}: its {what}")
            for operand, what in zip(call.args[1:3], ("scale", "zero point"), strict=True)
        )
        if not 0 < scale < np.inf:
            raise OdtError(f"{where} has scale {scale:g}; it must be positive.")
        return scale, int(zero_point) - 128 if dtype == "uint8" else int(zero_point)

    def _operators(self) -> None:
        """Read all of them. Raises ModelError with every obstacle, not the first alone."""
        for binding in bindings_of(self.function):
            if binding.var in self.env:
                continue
            try:
                self._binding(binding)
            except ModelError as error:
                self._cannot_read(binding, *error.obstacles)
            except OdtError as error:
                found = str(error).removeprefix(f"{self.name}: ")
                self._cannot_read(binding, Obstacle(self._described(binding), found))
            except (ValueError, TypeError, RuntimeError) as error:  # TVM's rules, damaged shapes
                found = f"it cannot be read as it stands ({one_line(error)})"
                self._cannot_read(binding, Obstacle(self._described(binding), found))
        if self.obstacles:
            raise ModelError(self.name, self.obstacles)

    def _unsupported(self, binding: relax.VarBinding) -> ModelError:
        found = "it cannot be compiled for training"
        return ModelError(self.name, [Obstacle(self._described(binding), found, _SUPPORTED)])

    def _described(self, binding: relax.VarBinding) -> str:
        """The operator in the words of its file; in ours where no importer marked it."""
        kind = _short(op_name(binding.value)) or type(binding.value).__name__
        return self.places.get(binding.var) or f'operator "{kind}"'

    def _cannot_read(self, binding: relax.VarBinding, *obstacles: Obstacle) -> None:
        self.obstacles += obstacles
        self.unknown.add(binding.var)

    def _binding(self, binding: relax.VarBinding) -> None:
        value, var = binding.value, binding.var
        known = constant(value)
        form = self.forms.get(op_name(value))
        if isinstance(value, relax.Call) and known is None and form is None:
            raise self._unsupported(binding)
        if not self.unknown.isdisjoint(variables_in(value)):
            self.unknown.add(var)
        elif isinstance(value, relax.Var):
            self.env[var] = self.env[value]
        elif isinstance(value, relax.Tuple):
            self.env[var] = tuple(self.read(field) for field in value.fields)
        elif isinstance(value, relax.TupleGetItem):
            whole = self.env[value.tuple_value]  # of batch_norm only the first field is kept
            self.env[var] = whole[value.index] if isinstance(whole, tuple) else whole
        elif known is not None:
            self.env[var] = self.sources.parameter(value, known)
        elif form is not None:
            self.env[var] = form.read(self, value)
        else:
            raise self._unsupported(binding)

    def _output(self) -> relax.Expr:
        """The one output, in float32: codes are decoded."""
        producers = {b.var: b.value for b in bindings_of(self.function)}
        result = self.function.body.body
        while isinstance(producers.get(result, result), relax.Tuple | relax.Var):
            value = producers.get(result, result)
            if isinstance(value, relax.Tuple) and len(value.fields) != 1:
                count = len(value.fields)
                raise OdtError(f"{self.name}: the model has {count} outputs; one is supported")
            following = value.fields[0] if isinstance(value, relax.Tuple) else value
            if following.same_as(result):
                break
            result = following
        value = self.read(result)
        if isinstance(value, Parameter):
            raise OdtError(f"{self.name}: the output does not depend on the input")
        var = self.physical(value)
        return self.emit_real(var) if dtype_of(var) == "int8" else var


def _constants(scale: float, zero_point: int) -> tuple[relax.Expr, relax.Expr]:
    return relax.const(scale, "float32"), relax.const(zero_point, "int8")


def _short(name: str) -> str:
    return name.removeprefix("relax.").removeprefix("nn.")
