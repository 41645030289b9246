"""PyTorch's `torch.export.ExportedProgram` (float32) through TVM's own importer."""

from __future__ import annotations

from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import ModelError, OdtError, last_line, one_line
from ...file_forms import FORMS
from ...model import Model
from ..canonicalize import Canonicalizer
from ..places import torch_places
from ..quantized_values import parameters_of
from .accepted import inspect_lowered
from .rewrites import written_out

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.export import ExportedProgram


def load_pt2(path: Path) -> Model:
    """Read a file written by ``torch.export.save``. Raises OdtError for what cannot be compiled."""
    try:
        import torch  # noqa: F401
    except ImportError:
        raise OdtError(f"{path.name}: reading .pt2 needs PyTorch; pip install torch") from None
    from .archive import read_pt2

    return load_exported_program(read_pt2(path), path.stem, path.name)


def load_module(module: nn.Module, example: Tensor | None) -> Model:
    """A `torch.nn.Module` in evaluation mode; `example` is an input of it, of batch 1."""
    import torch

    if example is None:
        raise OdtError(
            "a torch.nn.Module does not say the shape of its input; "
            "load(module.eval(), example=torch.zeros(1, 3, 32, 32)), with the shape of yours"
        )
    try:
        program = torch.export.export(module, (example,))
    except Exception as error:  # the module's own code ran
        raise OdtError(f"torch.export.export failed on the module ({last_line(error)})") from None
    return load_exported_program(program)


def load_exported_program(
    program: ExportedProgram, name: str = "model", file: str | None = None
) -> Model:
    """A `torch.export.ExportedProgram` in evaluation mode, batch 1; parameters keep their names.

    file : what errors call it, if not by its `name`.
    """
    from tvm.relax.frontend.torch import from_exported_program

    try:
        lowered = decomposed(one_sample(program))
        obstacles = inspect_lowered(program, lowered)
    except OdtError as error:
        raise OdtError(f"{file or name}: {error}") from None
    if obstacles:
        raise ModelError(file or name, obstacles)
    written_out(lowered)
    with torch_places() as place:
        try:
            module = from_exported_program(
                lowered, keep_params_as_input=True, run_ep_decomposition=False
            )
        except Exception as error:  # TVM's importer raises many types for what it cannot import
            reason = f"TVM could not import it ({last_line(error)})"
            raise OdtError(f"{file or name}: {place.words}: {reason}") from None
    function = module["main"]
    names = lowered.graph_signature.inputs_to_parameters
    parameters = parameters_of(name, function, lambda parameter: names.get(parameter, parameter))
    canonicalizer = Canonicalizer(name, function, parameters, FORMS, all_learned=True)
    return canonicalizer.run(function.params[0])


def decomposed(program: ExportedProgram) -> ExportedProgram:
    """`program` in few operators, those among them that our forms read whole."""
    import torch

    operators = torch.export.default_decompositions()
    for form in FORMS.values():
        if form.torch:
            operators.pop(attrgetter(form.torch)(torch.ops.aten), None)
    try:
        lowered = program.run_decompositions(operators)
    except Exception as error:  # of an operator, of a damaged graph
        raise OdtError(f"PyTorch could not decompose it ({last_line(error)})") from None
    lowered.graph_module.graph.eliminate_dead_code()
    return lowered


def one_sample(program: ExportedProgram) -> ExportedProgram:
    """`program` itself, or where its batch axis alone is free, the same for a batch of 1."""
    names = program.graph_signature.user_inputs
    inputs = [node for node in program.graph.nodes if node.name in names]
    values = [node.meta.get("val") for node in inputs if node.op == "placeholder"]
    if len(values) != 1 or not hasattr(values[0], "shape"):
        raise OdtError(f"the model has {len(names)} inputs; exactly one tensor is supported")
    shape, name = list(values[0].shape), one_line(inputs[0].name)
    free = [not isinstance(extent, int) for extent in shape]
    if not shape or any(free[1:]):
        raise OdtError(
            f'input "{name}" has the dynamic shape ({", ".join(map(str, shape))}); memory is '
            "planned at compile time, so every axis but the batch must be a number"
        )
    if free[0]:
        return _for_one(program, [1, *shape[1:]])
    if shape[0] != 1:
        raise OdtError(
            f'input "{name}" has batch {shape[0]}; training runs one sample a step. '
            "Export the model with an example of batch 1"
        )
    return program


def _for_one(program: ExportedProgram, shape: list[int]) -> ExportedProgram:
    """`program` exported again, for an input of `shape`."""
    import torch
    from torch.utils import _pytree

    example = torch.empty(1).expand(shape)  # no byte an element
    args, kwargs = _pytree.tree_unflatten([example], program.call_spec.in_spec)
    try:
        module = program.module(check_guards=False)
        return torch.export.export(module, args, kwargs, strict=False)
    except Exception as error:
        raise OdtError(
            f"its batch is free, and PyTorch could not make it 1 ({last_line(error)}); "
            "export the model with an example of batch 1"
        ) from None
