"""Results that take the place of an operand: masks, activations, sums of adjoints."""

from __future__ import annotations

from dataclasses import replace

from .program import Op, Program, Tensor


def reuse_in_place(program: Program) -> Program:
    """The program with such results renamed to the operand whose bytes they take.

    An operand gives its bytes away at its last reader, to a result of the same size, where the
    kernel loads each element no later than it stores the result's (`CKernel.in_place`).
    """
    last = _last_reads(program)
    storage: dict[str, str] = {}  # tensor -> the tensor whose bytes it takes

    def placed(tensor: Tensor) -> Tensor:
        return replace(tensor, name=storage.get(tensor.name, tensor.name))

    ops: list[Op] = []
    for index, op in enumerate(program.ops):
        inputs = tuple(placed(t) for t in op.inputs)
        for position, result in op.kernel.in_place:
            operand, output = inputs[position], op.outputs[result]
            if output.name not in storage and _given_away(operand, output, inputs, index, last):
                storage[output.name] = operand.name
                last[operand.name] = last[output.name]
        ops.append(replace(op, inputs=inputs, outputs=tuple(placed(t) for t in op.outputs)))
    results = tuple(placed(t) for t in program.results)
    return replace(program, ops=tuple(ops), results=results)


def _given_away(operand: Tensor, output: Tensor, inputs, index: int, last) -> bool:
    return (
        operand.role == output.role == "temporary"
        and operand.size_bytes == output.size_bytes
        and last[operand.name] == index
        and sum(t.name == operand.name for t in inputs) == 1
    )


def _last_reads(program: Program) -> dict[str, int]:
    """Index of the last op that touches each tensor; results outlive every op."""
    last = {t.name: i for i, op in enumerate(program.ops) for t in (*op.inputs, *op.outputs)}
    return {**last, **{t.name: len(program.ops) for t in program.results}}
