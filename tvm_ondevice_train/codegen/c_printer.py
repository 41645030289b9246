"""Print one lowered PrimFunc as a C99 function.

TVM has a C code generator, but it prints floats with 7 digits (not enough to be the same number
again), a byte for each boolean, and no `const`. Lowered kernels use few kinds of nodes, so printing
them here costs little and makes the C exact, smaller and readable. Boolean tensors are packed, one
bit an element.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tvm.ir import Call
from tvm_ffi import structural_equal

from relay_passes import microkernels
from relay_passes.kernel_attributes import workspace_offsets
from relay_passes.memory.scratch import elements_of, scratch_bytes
from relay_passes.memory.step import Kernel, Step
from relay_passes.runtime_call import called_function
from relay_passes.tir import tirx

from ..errors import OdtError
from .c_expressions import C_TYPES, NOT_YET, Expressions
from .runs_of_bits import runs_of_bits

HEADERS = ("odt_kernels.h", "odt_requantize.h", *microkernels.HEADERS)  # what kernels call
_OF_TVM = {"": "value", "compute": "value", "conv2d_nchw": "acc", "conv2d_ncw": "acc"}
_TAKEN = ("not_finite", "bad", "workspace")


@dataclass(frozen=True)
class CKernel(Kernel):
    """One C function.

    text : its C; for the name of the function it holds ``@NAME@``, for that of variable i ``$i``,
        so that functions of equal text are the same function.
    names : of the variables.
    parameters : (C type, read only) of what it reads, then of its results.
    watches : whether its last argument becomes 1 where an update is not finite.
    """

    text: str = ""
    names: tuple[str, ...] = ()
    parameters: tuple[tuple[str, bool], ...] = ()
    watches: bool = False

    def definition(self, name: str) -> str:
        """The C of the function under that name."""
        text = self.text.replace("@NAME@", name)
        return re.sub(r"\$(\d+)", lambda variable: self.names[int(variable[1])], text)


def print_kernels(step: Step) -> dict[Kernel, CKernel]:
    """The C of the kernels that `step` calls."""
    return {kernel: print_kernel(kernel) for kernel in dict.fromkeys(t.kernel for t in step.tasks)}


def print_kernel(kernel: Kernel) -> CKernel:
    """Print the function of `kernel`; operands that it does not load are no arguments.

    In one that updates a number that is not finite is left out and reported.
    """
    return _Printer(kernel).c_kernel()


class _Printer:
    def __init__(self, kernel: Kernel):
        assert kernel.function is not None, "a kernel of a step that was read has one"
        self.kernel, self.function, self.inputs = kernel, kernel.function, kernel.inputs
        self.c = Expressions()
        self.declared: list[str] = []  # names, in the order of declaration
        self.visible: set[str] = {*_TAKEN}
        # a store -> variable that gathers its booleans, loop variable
        self.runs: dict[tirx.BufferStore, tuple[str, str]] = {}
        # name without a value -> depth and line of its declaration
        self.unset: dict[str, tuple[int, int]] = {}
        self.copies: dict[str, str] = {}  # buffer that an operand is copied to -> its name in C
        self.lines: list[str | None] = []  # None: of a declaration that moved
        self.offsets = iter(workspace_offsets(self.function))

    def c_kernel(self) -> CKernel:
        for var, name in zip(self.function.params, self._parameter_names(), strict=True):
            self.copies[f"{var.name}_global"] = f"{name}_plane"
            self.c.names[var], self.c.bits[var] = self._declare(name), str(var.ty.dtype) == "bool"
        self.outputs = {self.c.names[var] for var in self.function.params[self.inputs :]}
        self._statement(self.function.body, 1)
        lines = [line for line in self.lines if line is not None]
        if self.c.watches:  # a variable of its own stays in a register
            lines = ["  uint32_t bad = 0;", *lines, "  *not_finite |= bad;"]
        body = "\n".join(lines)
        parameters, arguments, comments = self._parameters()
        head = f"/* {'; '.join(comments)} */\n"
        text = f"{head}ODT_KERNEL void @NAME@({', '.join(arguments)}) {{\n{body}\n}}\n"
        return CKernel(
            **vars(self.kernel),
            text=text,
            names=tuple(self.declared),
            parameters=tuple(parameters),
            watches=self.c.watches,
        )

    def _parameter_names(self) -> list[str]:
        """Operands are called as their operators call them, and the first result ``out``."""
        results = self.function.params[self.inputs :]
        dtypes = [str(var.ty.dtype) for var in results]
        outs = ["out_mask" if dtype == "bool" and i else "out" for i, dtype in enumerate(dtypes)]
        return [*self.kernel.operands, *outs]

    def _parameters(self) -> tuple[list[tuple[str, bool]], list[str], list[str]]:
        """C types, declarations, and what a comment says of them."""
        reads, written = self.kernel.reads, range(self.inputs, len(self.function.params))
        pairs = [(reads[operand], written[result]) for operand, result in self.kernel.in_place]
        shared = {index for pair in pairs for index in pair}
        parameters, arguments, comments = [], [], []
        for index in (*reads, *written):
            var, read = self.function.params[index], index < self.inputs
            name, dtype = self.c.names[var], str(var.ty.dtype)
            parameters.append((C_TYPES[dtype], read))
            alone = "" if index in shared else "restrict "
            arguments.append(f"{'const ' if read else ''}{C_TYPES[dtype]} *{alone}{name}")
            shape = "x".join(str(int(n)) for n in var.ty.shape) or "scalar"
            comments.append(f"{name} {dtype} {shape}")
        if self.kernel.workspace_bytes:
            arguments.append("uint8_t *workspace")
        if self.c.watches:
            arguments.append("uint32_t *not_finite")
        return parameters, arguments, comments

    def _declare(self, name: str) -> str:
        """What stands in the text for a new variable of about that name."""
        name = "".join(c if c.isalnum() else "_" for c in name)
        name = f"v{name}" if name[:1].isdigit() else name
        candidate, count = name, 1
        while candidate in self.visible:
            count += 1
            candidate = f"{name}_{count}"
        self.visible.add(candidate)
        self.declared.append(candidate)
        return f"${len(self.declared) - 1}"

    def _line(self, depth: int, text: str) -> None:
        self.lines.append("  " * depth + text)

    def _statement(self, node: tirx.Stmt, depth: int) -> None:
        getattr(self, "_" + type(node).__name__, self._unknown)(node, depth)

    def _unknown(self, node: tirx.Stmt, _depth: int) -> None:
        raise OdtError(f"no C for the operation {type(node).__name__}; {NOT_YET}")

    def _SeqStmt(self, node: tirx.SeqStmt, depth: int) -> None:
        for child in node.seq:
            self._statement(child, depth)

    def _DeclBuffer(self, node: tirx.DeclBuffer, _depth: int) -> None:
        source = node.data
        while isinstance(source, Call):
            source = source.args[0]
        self.c.names[node.buffer] = self.c.names[source]
        self.c.bits[node.buffer] = self.c.bits[source]
        if source in self.c.scalars:
            self.c.scalars.add(node.buffer)

    def _AllocBuffer(self, node: tirx.AllocBuffer, depth: int) -> None:
        buffer, dtype = node.buffer, str(node.buffer.ty.dtype)
        elements = elements_of(node)
        name = self._declare(self.copies.get(buffer.name) or _short(buffer.name))
        self.c.names[buffer], self.c.bits[buffer] = name, dtype == "bool" and elements > 1
        ctype = C_TYPES[dtype]
        if elements == 1:
            self.c.scalars.add(buffer)
            self.unset[name] = depth, len(self.lines)
            self._line(depth, f"{ctype} {name};")
        elif not scratch_bytes(node):
            aligned = "ODT_ALIGNED " if ctype == "int16_t" else ""  # microkernels read pairs
            self._line(depth, f"{aligned}{ctype} {name}[{elements}];")
        else:
            offset = next(self.offsets)
            place = f"(void *)(workspace + {offset})" if offset else "(void *)workspace"
            self._line(depth, f"{ctype} *{name} = {place};")

    def _For(self, node: tirx.For, depth: int) -> None:
        variable = self._declare(_short(node.loop_var.name))
        self.c.names[node.loop_var] = variable
        start, extent = self.c.text(node.min), int(node.extent)
        end = str(int(node.min) + extent) if start.isdigit() else f"{start} + {extent}"
        runs = [(s, base) for s, base in runs_of_bits(node) if self.c.bits[s.buffer]]
        for store, _ in runs:
            values = self._declare("bits")
            self.runs[store] = values, variable
            self._line(depth, f"uint32_t {values} = 0;")
        head = f"int32_t {variable} = {start}; {variable} < {end}; ++{variable}"
        self._line(depth, f"for ({head}) {{")
        self._statement(node.body, depth + 1)
        self._line(depth, "}")
        self.visible.discard(self.declared[int(variable[1:])])
        for store, base in runs:
            target, values = self.c.names[store.buffer], self.runs.pop(store)[0]
            self._line(depth, f"odt_bits_write({target}, {self.c.text(base)}, {extent}, {values});")

    def _IfThenElse(self, node: tirx.IfThenElse, depth: int) -> None:
        self._line(depth, f"if ({self.c.text(node.condition)}) {{")
        self._statement(node.then_case, depth + 1)
        if node.else_case is not None:
            self._line(depth, "} else {")
            self._statement(node.else_case, depth + 1)
        self._line(depth, "}")

    def _BufferStore(self, node: tirx.BufferStore, depth: int) -> None:
        buffer, index, value = node.buffer, node.indices[0], node.value
        updates = self.kernel.updates and self.c.names[buffer] in self.outputs
        if node in self.runs:
            values, element = self.runs[node]
            self._line(depth, f"{values} |= {self.c.shifted(value, by=element)};")
        elif self.c.bits[buffer]:
            arguments = self.c.names[buffer], self.c.text(index), self.c.text(value)
            self._line(depth, f"odt_bit_write({', '.join(arguments)});")
        elif updates and str(value.ty.dtype) == "float32":
            self.c.watches = True
            place, new = self.c.address(buffer, index), self.c.text(value)
            self._line(depth, f"odt_update_float({place}, {new}, &bad);")
        else:
            self._line(depth, self._assignment(node, depth))

    def _assignment(self, node: tirx.BufferStore, depth: int) -> str:
        buffer, value = node.buffer, node.value
        if _adds_to_own(node):
            sign, value = "+= ", self.c.text(value.b)
        else:
            sign, value = "= ", self.c.value(value)
        if buffer not in self.c.scalars:
            return f"{self.c.element(buffer, node.indices[0])} {sign}{value};"
        name, ctype = self.c.names[buffer], ""
        declaration = self.unset.pop(name, None)
        if declaration and declaration[0] == depth and name not in self.c.used:
            self.lines[declaration[1]] = None  # declared with its first value
            ctype = C_TYPES[str(buffer.ty.dtype)] + " "
        return f"{ctype}{name} {sign}{value};"

    def _Bind(self, node: tirx.Bind, depth: int) -> None:
        name = self._declare(_short(node.var.name))
        self.c.names[node.var] = name
        ctype = C_TYPES[str(node.var.ty.dtype)]
        self._line(depth, f"const {ctype} {name} = {self.c.value(node.value)};")

    def _AttrStmt(self, node: tirx.AttrStmt, depth: int) -> None:
        self._statement(node.body, depth)

    def _Evaluate(self, node: tirx.Evaluate, depth: int) -> None:
        call = node.value
        if called_function(call) is not None:
            self._line(depth, f"{self.c.text(call)};")


def _adds_to_own(store: tirx.BufferStore) -> bool:
    """Whether it adds to what it stores over; arithmetic in int is not that of a narrower dtype."""
    value = store.value
    if type(value).__name__ != "Add" or str(value.ty.dtype) not in ("float32", "int32", "int64"):
        return False
    own = value.a
    same = type(own).__name__ == "TensorLoad" and own.source.same_as(store.buffer)
    return same and structural_equal(own.indices, store.indices)


def _short(name: str) -> str:
    """The name of a local variable without what TVM's passes wrote around it."""
    name = re.sub(r"(_intermediate|_local)(?=_|$)|^T_", "", name)
    return _OF_TVM.get(name) or re.sub(r".*_red$", "sum", name)
