"""Append bindings to a function; its own stay the ones that they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tvm
from tvm import relax

from ..graph import Renamer, variables_in, with_blocks, with_function


def extended(
    module: tvm.IRModule,
    name: str,
    function: relax.Function,
    params: Sequence[relax.Var],
    body: Callable[[relax.BlockBuilder], relax.Expr],
) -> tvm.IRModule:
    """`module` with `function` over `params` as function `name`, and bindings of `body` behind it.

    They go to its last dataflow block, if it ends in one. Kernels that `body` makes are added to
    the module.

    body : builder -> what the function returns, variables from ``builder.emit_output``.
    """
    *before, last = function.body.blocks or [relax.DataflowBlock([])]
    if not isinstance(last, relax.DataflowBlock):
        before, last = [*before, last], relax.DataflowBlock([])
    builder = relax.BlockBuilder(module)
    with builder.function("extended", list(params)):
        with builder.dataflow():
            for binding in last.bindings:
                builder.emit_normalized(binding)
            result = body(builder)
        temporary = builder.emit_func_output(result)
    module = builder.get()
    made = module[temporary]
    del module[temporary]
    blocks = _outputs_read_later([*before, *made.body.blocks])
    return with_function(module, name, with_blocks(function, blocks, made.body.body, params))


def _outputs_read_later(blocks: Sequence[relax.BindingBlock]) -> list[relax.BindingBlock]:
    """`blocks`, where a dataflow variable that another block reads is an output of its own."""
    defined: dict[relax.Var, int] = {}
    outputs: dict[relax.Var, relax.Var] = {}
    for index, block in enumerate(blocks):
        for binding in block.bindings:
            for var in variables_in(binding.value):
                if defined.get(var, index) != index and var not in outputs:
                    outputs[var] = relax.Var(var.name, var.ty)
            if isinstance(binding.var, relax.DataflowVar):
                defined[binding.var] = index
    renamed = Renamer(outputs)

    def rebound(binding: relax.Binding) -> relax.Binding:
        var, value = renamed.vars.get(binding.var, binding.var), renamed(binding.value)
        if isinstance(binding, relax.MatchCast):
            return relax.MatchCast(var, value, binding.ty)
        return relax.VarBinding(var, value)

    if not outputs:
        return list(blocks)
    return [type(block)([rebound(binding) for binding in block.bindings]) for block in blocks]
