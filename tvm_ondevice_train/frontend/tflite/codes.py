"""What a .tflite file says of its codes, and TVM's importer leaves out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tflite


def input_coding(file: tflite.Model) -> tuple[float, int] | None:
    """Scale and int8 zero point of the input, if it is of codes: uint8 ones are 128 more."""
    from tflite import TensorType

    graph = file.Subgraphs(0)
    tensor = graph.Tensors(graph.Inputs(0))
    coding = tensor.Quantization()
    if coding is None or coding.ScaleLength() != 1 or coding.ZeroPointLength() != 1:
        return None
    unsigned = tensor.Type() == TensorType.UINT8
    return float(coding.Scale(0)), int(coding.ZeroPoint(0)) - 128 * unsigned
