"""Turn a loss function into a training step that updates only what a scheme trains."""

from __future__ import annotations

import zlib

import numpy as np
import tvm
from tvm import relax

from . import op_gradients  # noqa: F401  (registers the rules)
from .graph import bindings_of, constant, dtype_of, op_name, shape_of, variables_in
from .ops.masks import INT8_MAX
from .ops.quantized import BIAS_LIMIT
from .ops.update import sgd_update, sgd_update_codes

LOSS = "main"


@tvm.transform.module_pass(opt_level=0, name="SparseBackward")
class SparseBackward:
    """Differentiate the loss with respect to the trained parameters and update them by SGD.

    Before: ``main(input, target, p0, p1, ...) -> loss``, one dataflow block, the loss a float32
    scalar. A trained parameter is float32, or int8/int32 read only through one `dequantize`.
    After: ``main(input, target, learning_rate, seed, p0, ...) -> (loss, updated...)``; the updated
    parameters follow the order of the parameters and the attribute ``trained_parameters`` names
    them. Nothing is computed that no update needs: no gradient of a frozen parameter, and no
    adjoint below the first trained one.

    Quantized parameters are differentiated in the real domain: `dequantize(w)` stands for a
    float32 leaf while TVM's `Gradient` runs, and is put back afterwards.

    Parameters
    ----------
    trained : names of the parameters to train, or an object whose ``trained`` gives them (an
        `UpdateScheme`).

    Examples
    --------
    .. code-block:: python

        @R.function                                   # before
        def main(x, target, w):
            with R.dataflow():
                y = R.multiply(x, w)
                loss = R.sum(R.multiply(y, target))
                R.output(loss)
            return loss

        @R.function                                   # after SparseBackward({"w"})
        def main(x, target, learning_rate, seed, w):
            with R.dataflow():
                ...                                   # forward
                w_adjoint = R.multiply(y_adjoint, x)
                updated = R.odt.sgd_update(w, w_adjoint, learning_rate)
                R.output(loss, updated)
            return (loss, updated)
    """

    def __init__(self, trained):
        self.trained = set(getattr(trained, "trained", trained))

    def transform_module(self, module: tvm.IRModule, _context) -> tvm.IRModule:
        function = module[LOSS]
        trained = _trained_parameters(function, self.trained)
        dequantized = {p: b for p in trained if (b := _dequantize_of(function, p)) is not None}
        opened = _open_leaves(function, dequantized)
        differentiated = _differentiate(function, opened, trained, dequantized)
        step = _append_updates(function, differentiated, trained, dequantized)
        return relax.transform.DeadCodeElimination()(tvm.IRModule({LOSS: step}))


def _trained_parameters(function, names) -> list[relax.Var]:
    known = {p.name: p for p in function.params[2:]}
    unknown = sorted(names - known.keys())
    if unknown:
        raise ValueError(f'SparseBackward: there is no parameter "{unknown[0]}" in the module.')
    if not names:
        raise ValueError("SparseBackward: the scheme trains nothing; name at least one parameter.")
    return [p for p in function.params[2:] if p.name in names]


def _dequantize_of(function, parameter) -> relax.VarBinding | None:
    """The binding that decodes a quantized parameter; None for a float32 one."""
    readers = [b for b in bindings_of(function) if parameter in variables_in(b.value)]
    if not readers:
        raise ValueError(f'SparseBackward: parameter "{parameter.name}" is never used.')
    if dtype_of(parameter) == "float32":
        return None
    if len(readers) != 1 or op_name(readers[0].value) != "relax.dequantize":
        raise ValueError(
            f'SparseBackward: parameter "{parameter.name}" is {dtype_of(parameter)} and not '
            "read through one dequantize; only float32 and quantized parameters train."
        )
    return readers[0]


def _open_leaves(function, dequantized) -> relax.Function:
    """Make each decoded parameter an argument: the function that `Gradient` can differentiate.

    The new arguments follow the others, in the order of `dequantized`.
    """
    leaves = {b.var: relax.Var(f"{p.name}.real", b.var.ty) for p, b in dequantized.items()}
    builder = relax.BlockBuilder()
    renamed = _Renamer(leaves)
    with builder.function(LOSS, [*function.params, *leaves.values()]):
        with builder.dataflow():
            for binding in bindings_of(function):
                if binding.var not in leaves:
                    renamed.vars[binding.var] = builder.emit(renamed(binding.value))
            output = builder.emit_output(renamed(function.body.body))
        builder.emit_func_output(output)
    return builder.get()[LOSS]


class _Renamer:
    """Replace variables in one (normalized, hence flat) expression."""

    def __init__(self, variables: dict):
        self.vars = dict(variables)

    def __call__(self, expr):
        if isinstance(expr, relax.Var):
            return self.vars.get(expr, expr)
        if isinstance(expr, relax.Tuple):
            return relax.Tuple([self(field) for field in expr.fields])
        if isinstance(expr, relax.TupleGetItem):
            return relax.TupleGetItem(self(expr.tuple_value), expr.index)
        if isinstance(expr, relax.Call):
            args = [self(arg) for arg in expr.args]
            return relax.Call(expr.op, args, expr.attrs, expr.ty_args)
        return expr


def _differentiate(function, opened, trained, dequantized) -> relax.Function:
    """``(..., leaves...) -> (loss, (gradient of each trained parameter...))``."""
    arguments = dict(zip(function.params, opened.params[: len(function.params)], strict=True))
    leaves = dict(zip(dequantized, opened.params[len(function.params) :], strict=True))
    require = [leaves.get(parameter, arguments[parameter]) for parameter in trained]
    module = relax.transform.Gradient(LOSS, require)(tvm.IRModule({LOSS: opened}))
    return module[LOSS + "_adjoint"]


def _append_updates(function, differentiated, trained, dequantized) -> relax.Function:
    """Bind the leaves to dequantize again, add the optimizer, return the new parameters."""
    count = len(function.params)
    learning_rate = relax.Var("learning_rate", relax.TensorType((), "float32"))
    seed = relax.Var("seed", relax.TensorType((), "uint32"))
    params = [*function.params[:2], learning_rate, seed, *function.params[2:]]
    renamed = _Renamer(dict(zip(differentiated.params[:count], function.params, strict=True)))
    builder = relax.BlockBuilder()
    with builder.function(LOSS, params):
        with builder.dataflow():
            leaves = differentiated.params[count:]
            for leaf, binding in zip(leaves, dequantized.values(), strict=True):
                renamed.vars[leaf] = builder.emit(binding.value)
            for binding in bindings_of(differentiated):
                renamed.vars[binding.var] = builder.emit(renamed(binding.value))
            loss, gradients = _results(differentiated, renamed)
            updated = [
                builder.emit_output(
                    _update(parameter, gradient, learning_rate, seed, dequantized.get(parameter))
                )
                for parameter, gradient in zip(trained, gradients, strict=True)
            ]
            loss = builder.emit_output(loss)
        builder.emit_func_output(relax.Tuple([loss, *updated]))
    step = builder.get()[LOSS]
    return step.with_attr("trained_parameters", [p.name for p in trained])


def _results(differentiated, renamed):
    """The loss and the list of gradients behind the adjoint function's result."""
    values = {b.var: b.value for b in bindings_of(differentiated)}
    result = differentiated.body.body
    result = values.get(result, result)
    loss, gradients = result.fields
    gradients = values.get(gradients, gradients)
    return renamed(loss), [renamed(g) for g in gradients.fields]


def _update(parameter, gradient, learning_rate, seed, dequantized) -> relax.Call:
    if dequantized is None:
        return sgd_update(parameter, gradient, learning_rate)
    scale = np.asarray(constant(dequantized.value.args[1]), np.float64)
    channels = shape_of(parameter)[0]
    with np.errstate(divide="ignore"):
        inverse = np.where(scale > np.finfo(np.float32).tiny, 1.0 / scale, 0.0)
    inverse = np.broadcast_to(inverse, (channels,)).astype(np.float32)
    return sgd_update_codes(
        parameter,
        gradient,
        learning_rate,
        seed,
        relax.const(inverse),
        limit=INT8_MAX if dtype_of(parameter) == "int8" else BIAS_LIMIT,
        salt=zlib.crc32(parameter.name.encode()),
    )
