"""Updates by an optimizer of TVM's `relax.training`."""

from __future__ import annotations

from collections.abc import Sequence

from tvm import relax
from tvm.relax.training.optimizer import Optimizer

from ..graph import Renamer, bindings_of
from .arguments import Arguments
from .forward import Forward, Leaf


class RelaxUpdates:
    """What an optimizer of `relax.training` adds: its states as one argument, and its updates.

    The step takes inputs and target, the parameters, and the tuple of states behind them, whose
    start is `Optimizer.state` once this pass has run. The learning rate is a constant of the
    optimizer.
    """

    def __init__(self, optimizer: Optimizer, arguments: Arguments, leaves: Sequence[Leaf]) -> None:
        codes = [leaf.parameter for leaf in leaves if leaf.decode]
        if codes:
            raise ValueError(
                f'"{codes[0].name}" is quantized, and {optimizer.name} of relax.training does not '
                "round to codes; use one of relay.transform."
            )
        self.parameters = [leaf.parameter for leaf in leaves]
        self.update = _function_of(optimizer, self.parameters)
        states = relax.Var("optim_states", self.update.params[2].ty)
        self.num_input: int | None = len(arguments.leading)
        self.params = [*arguments.leading, *arguments.parameters, states]
        self.attributes: dict[str, object] = {
            "trained_parameters": [p.name for p in self.parameters]
        }

    def results(
        self, builder: relax.BlockBuilder, gradients: Sequence[relax.Var], forward: Forward
    ) -> list[relax.Expr]:
        """The loss, the updated parameters, the tuple of states, and what else was returned."""
        parameters, given, states = self.update.params
        fields = {parameters: self.parameters, given: list(gradients)}
        renamed = Renamer({states: self.params[-1]})
        values = {}
        for binding in bindings_of(self.update):
            value = renamed(binding.value)
            values[binding.var] = value
            if isinstance(value, relax.TupleGetItem) and value.tuple_value in fields:
                renamed.vars[binding.var] = fields[value.tuple_value][value.index]
            elif not isinstance(value, relax.Tuple):
                renamed.vars[binding.var] = builder.emit(value, binding.var.name)
        updated, new_states = (values[field] for field in self.update.body.body.fields)
        outputs = [builder.emit_output(field) for field in updated.fields]
        kept = builder.emit_output(new_states, "optim_states_new")
        return [forward.loss, *outputs, kept, *forward.further]


def _function_of(optimizer: Optimizer, parameters: list[relax.Var]) -> relax.Function:
    """Its update; ValueError where it fails, as Adam of TVM 0.27 does, or refuses a dtype."""
    try:
        return optimizer.init(parameters).get_function()
    except Exception as error:
        said = str(error).strip().splitlines()[-1]
        raise ValueError(f"{optimizer.name} of relax.training fails: {said}") from error
