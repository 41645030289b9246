"""What of PyTorch's operators is read: overloads of ``torch.ops.aten``, their arguments, dtypes.

TVM's importer reads past arguments that it does not know. Each node is checked here before it is
imported, against the operator's own schema: an argument that is not listed has its default.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterator, Mapping
from pathlib import PureWindowsPath  # splits at both kinds of slashes
from typing import TYPE_CHECKING, Any

from ...errors import Obstacle, one_line
from ..allowed import ANY, Allowed, equal

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from torch.fx import Node

LARGEST = 2**28  # elements of a tensor: a gigabyte of float32


_NUMBER = Allowed(lambda value: value is None or value == value, "a number")
_FLOAT32 = equal(None, "torch.float32")
_NOT_ZERO = Allowed(lambda value: value != 0, "any but 0")
_SLOPE = Allowed(lambda value: 0 <= value <= 1, "0 to 1")
_WINDOW = {"kernel_size": ANY, "stride": ANY, "padding": ANY, "ceil_mode": ANY}
_MOVED = {"memory_format": ANY, "non_blocking": ANY, "device": ANY, "layout": ANY}

# overload -> its arguments beside tensors; those that torch_rewrites takes out are in it
ACCEPTED: dict[str, Mapping[str, Allowed]] = {
    "_log_softmax.default": {"dim": ANY, "half_to_float": equal(False)},
    "_native_batch_norm_legit_no_training.default": {"momentum": ANY, "eps": ANY},
    "_softmax.default": {"dim": ANY, "half_to_float": equal(False)},
    "_to_copy.default": {"dtype": _FLOAT32, **_MOVED},
    "abs.default": {},
    "add.Scalar": {"other": ANY, "alpha": ANY},
    "add.Tensor": {"alpha": ANY},
    "addmm.default": {"alpha": _NOT_ZERO, "beta": _NOT_ZERO},
    "alias.default": {},
    "avg_pool2d.default": {**_WINDOW, "count_include_pad": ANY, "divisor_override": ANY},
    "bmm.default": {},
    "cat.default": {"dim": ANY},
    "clamp.default": {"min": _NUMBER, "max": _NUMBER},
    "clone.default": _MOVED,
    "convolution.default": {
        "stride": ANY,
        "padding": ANY,
        "dilation": ANY,
        "transposed": equal(False),
        "output_padding": ANY,  # of transposed ones
        "groups": ANY,
    },
    "div.Scalar": {"other": ANY},
    "div.Tensor": {},
    "elu.default": {"alpha": ANY, "scale": ANY},
    "erf.default": {},
    "exp.default": {},
    "expm1.default": {},
    "gelu.default": {"approximate": equal("none", "tanh")},
    "hardtanh.default": {"min_val": _NUMBER, "max_val": _NUMBER},
    "leaky_relu.default": {"negative_slope": _SLOPE},
    "log.default": {},
    "log10.default": {},
    "log1p.default": {},
    "log2.default": {},
    "max_pool2d_with_indices.default": {**_WINDOW, "dilation": ANY},
    "maximum.default": {},
    "mean.default": {"dtype": _FLOAT32},
    "mean.dim": {"dim": ANY, "keepdim": ANY, "dtype": _FLOAT32},
    "minimum.default": {},
    "mm.default": {},
    "mul.Scalar": {"other": ANY},
    "mul.Tensor": {},
    "neg.default": {},
    "permute.default": {"dims": ANY},
    "prelu.default": {},
    "reciprocal.default": {},
    "relu.default": {},
    "sigmoid.default": {},
    "softplus.default": {"beta": equal(1), "threshold": equal(20)},
    "sqrt.default": {},
    "squeeze.dims": {"dim": ANY},
    "sub.Scalar": {"other": ANY, "alpha": ANY},
    "sub.Tensor": {"alpha": ANY},
    "tanh.default": {},
    "unsqueeze.default": {"dim": ANY},
    "view.default": {"size": ANY},
}

# of a network that is being trained, by overload: the argument that says so, if one does
_TRAINING = {
    "_native_batch_norm_legit_functional.default": None,
    "alpha_dropout.default": "train",
    "batch_norm.default": "training",
    "bernoulli.p": None,
    "dropout.default": "train",
    "dropout_.default": "train",
    "feature_alpha_dropout.default": "train",
    "feature_dropout.default": "train",
    "native_dropout.default": "train",
    "rrelu.default": "training",
}
_TRAINING_CURE = (
    "call model.eval() before torch.export.export (and give F.dropout and the like "
    "training=self.training)"
)
_STATISTICS_CURE = "a step has one sample; train with track_running_stats=True"
_GRADIENT_CURE = "leave it out, and say with --scheme what trains"


def inspect_program(program: ExportedProgram) -> list[Obstacle]:
    """All that stands in the way of compiling `program`, in the order of its graph.

    Nothing is computed and no weight is read. Raises OdtError where its inputs are not one tensor
    of a batch of 1.
    """
    from . import decomposed, one_sample

    found = list(_as_exported(program))
    if found:  # what follows from them says nothing new
        return found
    return inspect_lowered(program, decomposed(one_sample(program)))


def inspect_lowered(program: ExportedProgram, lowered: ExportedProgram) -> list[Obstacle]:
    """The same of `lowered`, what `decomposed` makes of `program`."""
    originals = {node.name: node for node in program.graph.nodes}
    found = list(_as_exported(program)) or list(_state(lowered))
    for node in _needed(lowered):
        found += [Obstacle(_place(node, originals), *what) for what in _of(node)]
    first = {obstacle.where: obstacle for obstacle in reversed(found)}  # one for each place
    return list(first.values())[::-1]


def _as_exported(program: ExportedProgram) -> Iterator[Obstacle]:
    """Of what no longer shows once operators are decomposed."""
    for node in program.graph.nodes:
        name = getattr(node.target, "__name__", "")
        place = _place(node, {})
        flag = _TRAINING.get(name, "")
        if name == "batch_norm.default" and node.args[3] is None:
            yield Obstacle(place, "it normalizes by the batch alone", _STATISTICS_CURE)
        elif flag is None or (flag and arguments_of(node)[flag]):
            yield Obstacle(place, "it is exported in training mode", _TRAINING_CURE)
        elif name.startswith("detach") and not _is_constant(node.args[0]):
            yield Obstacle(place, "it stops gradients", _GRADIENT_CURE)
        elif name == "wrap_with_set_grad_enabled" and not node.args[0]:
            yield Obstacle(place, "torch.no_grad() stops gradients", _GRADIENT_CURE)


def _is_constant(node: Node) -> bool:
    """Whether `node` is a tensor that the source writes out."""
    return getattr(node.target, "__name__", "").startswith("lift_fresh")


def _state(lowered: ExportedProgram) -> Iterator[Obstacle]:
    for name in lowered.graph_signature.buffers_to_mutate.values():
        yield Obstacle(
            f'buffer "{one_line(name)}"',
            "the network changes it as it runs",
            "a step keeps no state but its parameters; make it an input or leave it out",
        )


def _needed(program: ExportedProgram) -> list[Node]:
    """Nodes that the network's outputs depend on, in order."""
    names = set(program.graph_signature.user_outputs)
    needed = {node for node in program.graph.nodes if node.name in names}
    for node in reversed(program.graph.nodes):
        if node in needed:
            needed.update(node.all_input_nodes)
    return [node for node in program.graph.nodes if node in needed]


def _of(node: Node) -> Iterator[tuple[str, str]]:
    """(what is found, what to do) of each thing in `node` that is not accepted."""
    if node.op == "call_function" and node.target is operator.getitem:
        if node.args[1] != 0:
            yield f"its result {node.args[1]} is read", "only the first can be"
            return
    elif node.op == "call_function":
        yield from _of_call(node)
    values = node.meta.get("val")
    for value in values[:1] if isinstance(values, (tuple, list)) else [values]:
        if hasattr(value, "dtype"):
            yield from _of_tensor(value)


def _of_call(node: Node) -> Iterator[tuple[str, str]]:
    name = getattr(node.target, "__name__", str(node.target))
    accepted = ACCEPTED.get(name) if getattr(node.target, "namespace", "") == "aten" else None
    if name in _TRAINING:
        yield "it is exported in training mode", _TRAINING_CURE
    elif accepted is None:
        yield (
            f"it needs operator {one_line(name)}, which cannot be compiled",
            'use another one (README, "What it compiles")',
        )
    else:
        defaults = {a.name: a.default_value for a in node.target._schema.arguments}
        for argument, value in arguments_of(node).items():
            rule = accepted.get(argument, equal(defaults[argument]))
            if not rule.holds(value):
                yield f"{argument} is {one_line(str(value))}", f"supported is {rule.words}"
        yield from _of_combinations(name, node)


def _of_combinations(name: str, node: Node) -> Iterator[tuple[str, str]]:
    """Of arguments that are accepted each, but not together."""
    values = arguments_of(node)
    if name == "convolution.default" and node.args[0].meta["val"].dim() not in (3, 4):
        yield "it runs over three axes", "supported are convolutions over one and two"
    divided = values.get("divisor_override") is not None
    if divided and values["ceil_mode"]:
        yield "divisor_override with ceil_mode", "supported is one of them"


def arguments_of(node: Node) -> dict[str, Any]:
    """Values of the arguments that are no tensors, defaults filled in."""
    values = {}
    for place, argument in enumerate(node.target._schema.arguments):
        if "Tensor" not in str(argument.type):
            given = node.args[place] if place < len(node.args) else argument.default_value
            values[argument.name] = node.kwargs.get(argument.name, given)
    return values


def _of_tensor(value: Any) -> Iterator[tuple[str, str]]:
    if str(value.dtype) != "torch.float32":
        yield f"it is {str(value.dtype).removeprefix('torch.')}", "supported is float32"
    elif not all(isinstance(extent, int) for extent in value.shape):
        yield f"its shape {tuple(value.shape)} depends on data", "shapes must be static"
    elif value.numel() > LARGEST:
        yield f"it has {value.numel()} elements", f"at most {LARGEST} are supported"


def _place(node: Node, originals: Mapping[str, Node]) -> str:
    """The node, module and line of the source that `node` comes from."""
    names = [node.name, *(source.name for source in node.meta.get("from_node", []))]
    node = next((originals[name] for name in reversed(names) if name in originals), node)
    if node.op == "placeholder":
        return f'input or parameter "{one_line(node.name)}"'
    kind = str(node.target) if node.op == "call_function" else node.op
    stack = [path for path, _ in node.meta.get("nn_module_stack", {}).values() if path]
    lines = re.findall(r'File "([^"]*)", line (\d+)', node.meta.get("stack_trace") or "")
    own = [line for line in lines if "/torch/nn/" not in line[0]] or lines
    words = [f'node "{node.name}"', *(f'module "{path}"' for path in stack[-1:])]
    words += [f"{PureWindowsPath(file).name}:{line}" for file, line in own[-1:]]
    return one_line(f"{kind} ({', '.join(words)})")
