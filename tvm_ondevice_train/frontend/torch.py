"""PyTorch's `torch.export.ExportedProgram` (float32) through TVM's own importer."""

from __future__ import annotations

from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import OdtError
from ..file_forms import FORMS
from ..model import Model
from .canonicalize import Canonicalizer
from .onnx import first_line
from .quantized_values import parameters_of

if TYPE_CHECKING:
    from torch.export import ExportedProgram


def load_pt2(path: Path) -> Model:
    """Read a file written by ``torch.export.save``. Raises OdtError for what cannot be compiled."""
    try:
        import torch
    except ImportError:
        raise OdtError(f"{path.name}: reading .pt2 needs PyTorch; pip install torch") from None
    try:
        program = torch.export.load(path)
    except Exception as error:  # torch.export raises many types for a file that is not its own
        raise OdtError(f"{path.name}: not a torch.export file ({first_line(error)})") from None
    return load_exported_program(program, path.stem)


def load_exported_program(program: ExportedProgram, name: str = "model") -> Model:
    """A `torch.export.ExportedProgram` in evaluation mode, batch 1; parameters keep their names."""
    import torch
    from tvm.relax.frontend.torch import from_exported_program

    operators = torch.export.default_decompositions()
    for form in FORMS.values():
        if form.torch:
            operators.pop(attrgetter(form.torch)(torch.ops.aten), None)
    try:
        module = from_exported_program(
            program.run_decompositions(operators),
            keep_params_as_input=True,
            run_ep_decomposition=False,
        )
    except Exception as error:  # TVM's importer raises many types for what it cannot import
        raise OdtError(f"{name}: TVM could not import it ({first_line(error)})") from None
    function = module["main"]
    names = program.graph_signature.inputs_to_parameters
    parameters = parameters_of(name, function, lambda parameter: names.get(parameter, parameter))
    canonicalizer = Canonicalizer(name, function, parameters, FORMS, all_learned=True)
    return canonicalizer.run(function.params[0])
