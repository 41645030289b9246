"""Values of what an .onnx file computes from constants alone."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import onnx
from onnx import numpy_helper

# The reference evaluator walks windows and rows in Python.
SLOW = ("AveragePool", "Conv", "CumSum", "Gemm", "GlobalAveragePool", "MatMul", "MaxPool", "Range")
MOST_SLOW_ELEMENTS = 2**14
MOST_ELEMENTS = 2**24


class Constants:
    """Constants by name: those of the file, and results of nodes, computed when asked for."""

    def __init__(self, opset: int) -> None:
        self.opset = opset
        self.stored: dict[str, onnx.TensorProto | np.ndarray] = {}
        self.computed: dict[str, onnx.NodeProto] = {}  # result -> its node

    def value(self, name: str) -> np.ndarray:
        """Raises what NumPy or the evaluator raises where it has none."""
        wanted = [name]  # no recursion: a file may chain any number of nodes
        while wanted:
            if wanted[-1] in self.stored:
                wanted.pop()
                continue
            node = self.computed[wanted[-1]]
            missing = [i for i in node.input if i and i not in self.stored]
            if not missing:
                self._evaluate(node)
            wanted += missing
        stored = self.stored[name]
        if isinstance(stored, onnx.TensorProto):
            stored = self.stored[name] = numpy_helper.to_array(stored)
        return stored

    def origins(self, name: str) -> tuple[str, ...]:
        """The file's own constants of several floats that it is computed from, in order."""
        wanted, seen = [name], dict[str, None]()
        while wanted:
            one = wanted.pop()
            if one and one not in seen:
                seen[one] = None
                wanted += self.computed[one].input if one in self.computed else ()
        stored = [n for n in seen if n in self.stored and n not in self.computed]
        tensors = [(n, self.value(n)) for n in stored]
        return tuple(n for n, v in tensors if v.dtype == np.float32 and v.size > 1)

    def _evaluate(self, node: onnx.NodeProto) -> None:
        from onnx.reference import ReferenceEvaluator  # half a second to import, and rarely needed

        operands = {name: self.value(name) for name in node.input if name}
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            evaluator = ReferenceEvaluator(node, opsets={"": self.opset})
            results = evaluator.run(None, operands)
        for name, result in zip(node.output, results, strict=False):
            self.stored[name] = np.asarray(result)


def too_large(kind: str, shapes: Mapping[str, tuple[int, ...] | None]) -> str | None:
    """The tensor, of a node's operands and results, that makes it too large to be computed here."""
    most = MOST_SLOW_ELEMENTS if kind in SLOW else MOST_ELEMENTS
    for name, shape in shapes.items():
        if shape is None or int(np.prod(shape, dtype=object)) > most:
            return name
    return None
