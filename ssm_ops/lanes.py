"""Sixteen numbers at once: explicit vector instructions for compiled loops on CPUs.

Numba's compiler leaves vector instructions out where arrays might overlap, as they might in every stage of a Fourier
transform. So loads and stores of `LANES` neighbours are spelled out here, and `+`, `-`, `*` work on what they give: a
loop that is written once for one column of a field transforms sixteen of them. The compiler splits them for processors
with shorter vectors. Products and sums may be fused; what a lane holds does not depend on its neighbours.

Arrays are flat (one axis); indices count numbers and are not checked.
"""

from __future__ import annotations

import operator
import platform

import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba.core import types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

from ssm_ops.compiled import inlined

LANES = 16
FUSED = ("contract",)
INDEX = ir.IntType(32)
FUSES = platform.machine() in ("aarch64", "arm64") or get_host_cpu_features().get("fma", False)
"""Whether the processor rounds a product and a sum once."""


class Lanes(types.Type):
    """The type of `LANES` numbers of one precision."""

    def __init__(self, scalar: types.Float):
        self.scalar = scalar
        super().__init__(f"Lanes({scalar})")


def zeros(count: int, dtype: np.dtype | str) -> np.ndarray:
    """A flat array that begins on a cache line: lanes of half a line each cost a quarter more."""
    room = np.zeros(count + LANES, dtype)
    start = -room.ctypes.data % (LANES * 4) // room.itemsize
    return room[start : start + count]


@register_model(Lanes)
class _Model(models.PrimitiveModel):
    def __init__(self, manager, kind):
        number = ir.FloatType() if kind.scalar == types.float32 else ir.DoubleType()
        super().__init__(manager, kind, ir.VectorType(number, LANES))


class _Elementwise(AbstractTemplate):
    def generic(self, args, kws):
        if isinstance(args[0], Lanes) and all(arg == args[0] for arg in args):
            return signature(args[0], *args)
        return None


def _binary(operation, instruction: str) -> None:
    infer_global(operation)(type(f"_{instruction}", (_Elementwise,), {}))
    lower_builtin(operation, Lanes, Lanes)(
        lambda context, builder, sig, args: getattr(builder, instruction)(*args, flags=FUSED)
    )


for _operation, _instruction in ((operator.add, "fadd"), (operator.sub, "fsub"), (operator.mul, "fmul")):
    _binary(_operation, _instruction)


@intrinsic
def fused(typing, one, other, third):
    """one * other + third, rounded once, where the processor can; else twice.

    The compiler fuses products and sums as it likes, in two loops differently; where bits must agree, this says which.
    """

    def generate(context, builder, sig, args):
        vector = args[0].type
        if not FUSES:
            return builder.fadd(builder.fmul(*args[:2]), args[2])
        letter = "f32" if isinstance(vector.element, ir.FloatType) else "f64"
        name = f"llvm.fma.v{LANES}{letter}"
        function = builder.module.globals.get(name)
        function = function or ir.Function(builder.module, ir.FunctionType(vector, [vector] * 3), name)
        return builder.call(function, args)

    return one(one, other, third), generate


@intrinsic
def load(typing, array, index):
    """Numbers index to index + LANES of a flat array."""
    kind = Lanes(array.dtype)

    def generate(context, builder, sig, args):
        return builder.load(_pointer(context, builder, sig, args, kind), align=1)

    return kind(array, types.intp), generate


@intrinsic
def store(typing, array, index, value):
    """Writes lanes to numbers index to index + LANES of a flat array."""

    def generate(context, builder, sig, args):
        builder.store(args[2], _pointer(context, builder, sig, args, value), align=1)
        return context.get_dummy_value()

    return types.void(array, types.intp, value), generate


@intrinsic
def load_some(typing, array, index, count):
    """`load` of the first `count` lanes; zero in the others."""
    kind = Lanes(array.dtype)

    def generate(context, builder, sig, args):
        vector = context.get_value_type(kind)
        call = _masked(builder, "load", vector, [vector.as_pointer(), INDEX, _mask_type(), vector], vector)
        alignment, rest = ir.Constant(INDEX, 1), ir.Constant(vector, [0.0] * LANES)
        pointer = _pointer(context, builder, sig, args, kind)
        return builder.call(call, [pointer, alignment, _first(builder, args[2]), rest])

    return kind(array, types.intp, types.intp), generate


@intrinsic
def store_some(typing, array, index, value, count):
    """`store` of the first `count` lanes."""

    def generate(context, builder, sig, args):
        vector = args[2].type
        call = _masked(builder, "store", vector, [vector, vector.as_pointer(), INDEX, _mask_type()], ir.VoidType())
        pointer = _pointer(context, builder, sig, args, value)
        builder.call(call, [args[2], pointer, ir.Constant(INDEX, 1), _first(builder, args[3])])
        return context.get_dummy_value()

    return types.void(array, types.intp, value, types.intp), generate


@intrinsic
def spread(typing, number):
    """The same number in every lane."""
    kind = Lanes(number)

    def generate(context, builder, sig, args):
        undefined = ir.Constant(context.get_value_type(kind), ir.Undefined)
        first = builder.insert_element(undefined, args[0], ir.Constant(INDEX, 0))
        return builder.shuffle_vector(first, undefined, _order([0] * LANES))

    return kind(number), generate


@intrinsic
def variable(typing, value):
    """The value itself. A function called with a constant is compiled for that constant; with this, once for all."""

    def generate(context, builder, sig, args):
        return context.cast(builder, args[0], value, sig.return_type)

    return types.unliteral(value)(value), generate


@intrinsic
def transpose(typing, source, start, stride, target, to, pitch):
    """Writes the transpose of LANES rows of LANES numbers, `stride` apart in `source`, `pitch` in `target`."""
    kind = Lanes(source.dtype)

    def generate(context, builder, sig, args):
        origin = _pointer(context, builder, sig, args, kind)
        goal = _pointer(context, builder, signature(types.void, *sig.args[3:]), args[3:], kind)

        def row(pointer, number, apart):
            scalar = builder.bitcast(pointer, pointer.type.pointee.element.as_pointer())
            offset = builder.mul(apart, ir.Constant(apart.type, number))
            return builder.bitcast(builder.gep(scalar, [offset]), pointer.type)

        rows = [builder.load(row(origin, i, args[2]), align=1) for i in range(LANES)]
        width = LANES // 2
        while width:  # exchange the off-diagonal blocks of every square of 2 width
            for i in range(LANES):
                if not i & width:
                    one, other = rows[i], rows[i + width]
                    upper = [j if not j & width else LANES + j - width for j in range(LANES)]
                    lower = [j + width if not j & width else LANES + j for j in range(LANES)]
                    rows[i] = builder.shuffle_vector(one, other, _order(upper))
                    rows[i + width] = builder.shuffle_vector(one, other, _order(lower))
            width //= 2
        for i in range(LANES):
            builder.store(rows[i], row(goal, i, args[5]), align=1)
        return context.get_dummy_value()

    return types.void(source, types.intp, types.intp, target, types.intp, types.intp), generate


@inlined
def read(array, index, count):
    """`load`, or where fewer than `LANES` are there, `load_some`."""
    if count >= LANES:
        return load(array, index)
    return load_some(array, index, count)


@inlined
def write(array, index, value, count):
    """`store`, or where fewer than `LANES` are wanted, `store_some`; none where `count` is not positive."""
    if count >= LANES:
        store(array, index, value)
    elif count > 0:
        store_some(array, index, value, count)


def _pointer(context, builder, sig, args, kind: Lanes):
    array = context.make_array(sig.args[0])(context, builder, args[0])
    return builder.bitcast(builder.gep(array.data, [args[1]]), context.get_value_type(kind).as_pointer())


def _masked(builder, what: str, vector, parameters: list, result):
    letter = "f32" if isinstance(vector.element, ir.FloatType) else "f64"
    name = f"llvm.masked.{what}.v{LANES}{letter}.p0"
    function = builder.module.globals.get(name)
    return function or ir.Function(builder.module, ir.FunctionType(result, parameters), name)


def _mask_type():
    return ir.VectorType(ir.IntType(1), LANES)


def _first(builder, count):
    """Whether each lane is one of the first `count`."""
    places = ir.VectorType(INDEX, LANES)
    number = builder.insert_element(
        ir.Constant(places, ir.Undefined), builder.trunc(count, INDEX), ir.Constant(INDEX, 0)
    )
    everywhere = builder.shuffle_vector(number, ir.Constant(places, ir.Undefined), _order([0] * LANES))
    return builder.icmp_signed("<", _order(list(range(LANES))), everywhere)


def _order(places: list[int]):
    return ir.Constant(ir.VectorType(INDEX, LANES), places)
