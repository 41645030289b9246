"""Print one lowered PrimFunc as a C99 function.

TVM has a C code generator, but it prints floats with 7 digits (not enough to be the same number
again), a byte for each boolean, and no `const`. Lowered kernels use few kinds of nodes, so printing
them here costs little and makes the C exact, smaller and readable. Boolean tensors are packed, one
bit an element.
"""

from __future__ import annotations

from dataclasses import dataclass

from tvm.ir import Call

from relay_passes import microkernels
from relay_passes.kernel_attributes import workspace_offsets
from relay_passes.memory.scratch import elements_of, scratch_bytes
from relay_passes.memory.step import Kernel, Step

from ..errors import OdtError
from .c_functions import c_function
from .c_text import bare, float_literal
from .runs_of_bits import runs_of_bits

C_TYPES = {
    "float32": "float",
    "int8": "int8_t",
    "uint8": "uint8_t",
    "uint16": "uint16_t",
    "int16": "int16_t",
    "int32": "int32_t",
    "uint32": "uint32_t",
    "int64": "int64_t",
    "bool": "uint8_t",
}
HEADERS = ("odt_kernels.h", "odt_requantize.h", *microkernels.HEADERS)  # what kernels call
_BINARY = {
    "Add": "+",
    "Sub": "-",
    "Mul": "*",
    "Div": "/",
    "Mod": "%",
    "EQ": "==",
    "NE": "!=",
    "LT": "<",
    "LE": "<=",
    "GT": ">",
    "GE": ">=",
    "And": "&&",
    "Or": "||",
    "LShift": "<<",
    "RShift": ">>",
    "BitwiseAnd": "&",
    "BitwiseOr": "|",
    "BitwiseXor": "^",
}
_OPERATORS = {
    "bitwise_and": "&",
    "bitwise_or": "|",
    "bitwise_xor": "^",
    "shift_left": "<<",
    "shift_right": ">>",
}
# take a pointer to a variable that becomes 1 where they meet a number that is not finite
_WATCHING = ("odt_update_code", *(r.name for r in microkernels.RECORDS.values() if r.watches))
_NOT_YET = "this operator cannot be compiled yet"


@dataclass(frozen=True)
class CKernel(Kernel):
    """One C function. ``text`` holds the placeholder ``@NAME@`` where its name goes."""

    text: str = ""
    parameters: tuple[tuple[str, bool], ...] = ()  # (C type, read only): what it reads, results
    watches: bool = False  # its last argument becomes 1 where an update is not finite


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
        self.kernel, self.function, self.inputs = kernel, kernel.function, kernel.inputs
        self.names: dict = {}  # Var -> C name
        self.bits: dict = {}  # buffer Var -> packed boolean
        self.scalars: set = set()
        self.runs: dict = {}  # BufferStore -> variable that gathers its booleans, loop variable
        self.used: set[str] = {"not_finite", "bad"}
        self.watches = False
        self.lines: list[str] = []
        self.offsets = iter(workspace_offsets(self.function))

    def c_kernel(self) -> CKernel:
        for index, var in enumerate(self.function.params):
            name = f"in{index}" if index < self.inputs else f"out{index - self.inputs}"
            self.names[var], self.bits[var] = self._unique(name), str(var.ty.dtype) == "bool"
        self.outputs = {self.names[var] for var in self.function.params[self.inputs :]}
        self._statement(self.function.body, 1)
        if self.watches:  # a variable of its own stays in a register
            self.lines = ["  uint32_t bad = 0;", *self.lines, "  *not_finite |= bad;"]
        body = "\n".join(self.lines)
        reads, written = self.kernel.reads, range(self.inputs, len(self.function.params))
        pairs = [(reads[operand], written[result]) for operand, result in self.kernel.in_place]
        shared = {index for pair in pairs for index in pair}
        parameters, arguments, comments = [], [], []
        for index in (*reads, *written):
            var, read = self.function.params[index], index < self.inputs
            name, dtype = self.names[var], str(var.ty.dtype)
            parameters.append((C_TYPES[dtype], read))
            alone = "" if index in shared else "restrict "
            arguments.append(f"{'const ' if read else ''}{C_TYPES[dtype]} *{alone}{name}")
            shape = "x".join(str(int(n)) for n in var.ty.shape) or "scalar"
            comments.append(f"{name} {dtype} {shape}")
        if self.kernel.workspace_bytes:
            arguments.append("uint8_t *workspace")
        if self.watches:
            arguments.append("uint32_t *not_finite")
        head = "/* " + "; ".join(comments) + " */\n"
        text = f"{head}ODT_KERNEL void @NAME@({', '.join(arguments)}) {{\n{body}\n}}\n"
        facts = {"text": text, "parameters": tuple(parameters), "watches": self.watches}
        return CKernel(**vars(self.kernel), **facts)

    def _unique(self, name: str) -> str:
        name = "".join(c if c.isalnum() else "_" for c in name)
        name = f"v{name}" if name[:1].isdigit() else name
        candidate, count = name, 1
        while candidate in self.used:
            count += 1
            candidate = f"{name}_{count}"
        self.used.add(candidate)
        return candidate

    def _line(self, depth: int, text: str):
        self.lines.append("  " * depth + text)

    # -- statements -----------------------------------------------------------------------------

    def _statement(self, node, depth: int):
        getattr(self, "_" + type(node).__name__, self._unknown)(node, depth)

    def _unknown(self, node, *_):
        raise OdtError(f"no C for the operation {type(node).__name__}; {_NOT_YET}")

    def _SeqStmt(self, node, depth):
        for child in node.seq:
            self._statement(child, depth)

    def _DeclBuffer(self, node, _depth):
        source = node.data
        while isinstance(source, Call):
            source = source.args[0]
        self.names[node.buffer] = self.names[source]
        self.bits[node.buffer] = self.bits[source]
        if source in self.scalars:
            self.scalars.add(node.buffer)

    def _AllocBuffer(self, node, depth):
        buffer, dtype = node.buffer, str(node.buffer.ty.dtype)
        elements = elements_of(node)
        name = self._unique(_short(buffer.name))
        self.names[buffer], self.bits[buffer] = name, dtype == "bool" and elements > 1
        ctype = C_TYPES[dtype]
        if elements == 1:
            self.scalars.add(buffer)
            self._line(depth, f"{ctype} {name};")
        elif not scratch_bytes(node):
            aligned = "ODT_ALIGNED " if ctype == "int16_t" else ""  # microkernels read pairs
            self._line(depth, f"{aligned}{ctype} {name}[{elements}];")
        else:
            offset = next(self.offsets)
            self._line(depth, f"{ctype} *{name} = ({ctype} *)(void *)(workspace + {offset});")

    def _For(self, node, depth):
        name = self._unique(_short(node.loop_var.name))
        self.names[node.loop_var] = name
        start, extent = self._expr(node.min), int(node.extent)
        end = str(int(node.min) + extent) if start.isdigit() else f"{start} + {extent}"
        runs = [(s, base) for s, base in runs_of_bits(node) if self.bits[s.buffer]]
        for store, _ in runs:
            values = self._unique("bits")
            self.runs[store] = values, name
            self._line(depth, f"uint32_t {values} = 0;")
        self._line(depth, f"for (int32_t {name} = {start}; {name} < {end}; ++{name}) {{")
        self._statement(node.body, depth + 1)
        self._line(depth, "}")
        self.used.discard(name)
        for store, base in runs:
            target, values = self.names[store.buffer], self.runs.pop(store)[0]
            index = bare(self._expr(base))
            self._line(depth, f"odt_bits_write({target}, {index}, {extent}, {values});")

    def _IfThenElse(self, node, depth):
        self._line(depth, f"if ({self._expr(node.condition)}) {{")
        self._statement(node.then_case, depth + 1)
        if node.else_case is not None:
            self._line(depth, "} else {")
            self._statement(node.else_case, depth + 1)
        self._line(depth, "}")

    def _BufferStore(self, node, depth):
        name, index = self.names[node.buffer], self._expr(node.indices[0])
        value = bare(self._expr(node.value))
        if node.buffer in self.scalars:
            self._line(depth, f"{name} = {value};")
        elif node in self.runs:
            values, element = self.runs[node]
            self._line(depth, f"{values} |= (uint32_t)({value}) << {element};")
        elif self.bits[node.buffer]:
            self._line(depth, f"odt_bit_write({name}, {bare(index)}, {value});")
        elif self.kernel.updates and name in self.outputs and str(node.value.ty.dtype) == "float32":
            self.watches = True
            self._line(depth, f"odt_update_float({name} + {index}, {value}, &bad);")
        else:
            self._line(depth, f"{name}[{bare(index)}] = {value};")

    def _Bind(self, node, depth):
        name = self._unique(_short(node.var.name))
        self.names[node.var] = name
        self._line(
            depth,
            f"const {C_TYPES[str(node.var.ty.dtype)]} {name} = {bare(self._expr(node.value))};",
        )

    def _AttrStmt(self, node, depth):
        self._statement(node.body, depth)

    def _Evaluate(self, node, depth):
        call = node.value
        if isinstance(call, Call) and call.op.name.endswith("call_extern"):
            self._line(depth, f"{self._expr(call)};")

    # -- expressions ----------------------------------------------------------------------------

    def _expr(self, node) -> str:
        kind = type(node).__name__
        if kind in _BINARY:
            return f"({self._expr(node.a)} {_BINARY[kind]} {self._expr(node.b)})"
        return getattr(self, "_expr_" + kind, self._unknown)(node)

    def _expr_Var(self, node):
        return self.names[node]

    def _expr_IntImm(self, node):
        value, dtype = int(node.value), str(node.ty.dtype)
        if dtype == "uint32":
            return f"{value & 0xFFFFFFFF}u"
        if dtype == "int32" and value == -(2**31):
            return "INT32_MIN"
        return str(value) if value >= 0 else f"({value})"

    def _expr_FloatImm(self, node):
        text = float_literal(float(node.value))
        return f"({text})" if text.startswith("-") else text

    def _expr_Cast(self, node):
        return f"({C_TYPES[str(node.ty.dtype)]}){self._expr(node.value)}"

    def _expr_Not(self, node):
        return f"(!{self._expr(node.a)})"

    def _expr_Select(self, node):
        return self._ternary(node.condition, node.true_value, node.false_value)

    def _ternary(self, condition, yes, no):
        return f"({self._expr(condition)} ? {self._expr(yes)} : {self._expr(no)})"

    def _expr_Max(self, node):
        return self._extremum("max", node)

    def _expr_Min(self, node):
        return self._extremum("min", node)

    def _extremum(self, which: str, node):
        dtype = str(node.ty.dtype)
        suffix = "f" if dtype == "float32" else "i"
        return f"odt_{which}{suffix}({bare(self._expr(node.a))}, {bare(self._expr(node.b))})"

    def _expr_TensorLoad(self, node):
        name = self.names[node.source]
        if node.source in self.scalars:
            return name
        index = bare(self._expr(node.indices[0]))
        return f"odt_bit_read({name}, {index})" if self.bits[node.source] else f"{name}[{index}]"

    def _expr_Call(self, node):
        name = node.op.name.split(".")[-1]  # "tirx.exp", "prim.if_then_else"
        if name in _OPERATORS:
            left, right = (self._expr(a) for a in node.args)
            return f"({left} {_OPERATORS[name]} {right})"
        if name == "address_of":
            load = node.args[0]
            if load.source in self.scalars:
                return "&" + self.names[load.source]
            index = bare(self._expr(load.indices[0]))
            return self.names[load.source] + (f" + {index}" if index != "0" else "")
        if name == "if_then_else":
            return self._ternary(*node.args)
        function, arguments = c_function(name), node.args
        if name in ("call_pure_extern", "call_extern"):
            function, arguments = str(node.args[0].value), node.args[1:]
            function = c_function(function.removesuffix("f")) or function
        if function is None or not function.startswith("odt_"):
            raise OdtError(f"no C for the function {function or name}; {_NOT_YET}")
        texts = [bare(self._expr(a)) for a in arguments]
        if function in _WATCHING:
            self.watches = True
            texts.append("&bad")
        return f"{function}({', '.join(texts)})"


def _short(name: str) -> str:
    """Fusion appends ``_intermediate`` once a level."""
    return name.replace("_intermediate", "") or "value"
