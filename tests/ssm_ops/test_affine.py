"""The composition law, on values that are associative and do not commute: exact."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from ssm_ops import Affine

NUMBER = st.integers(-3, 3)


@dataclass(frozen=True)
class Matrix:
    """A 2x2 integer matrix: `*` is the matrix product."""

    a: int
    b: int
    c: int
    d: int

    def __mul__(self, o):
        return Matrix(
            self.a * o.a + self.b * o.c,
            self.a * o.b + self.b * o.d,
            self.c * o.a + self.d * o.c,
            self.c * o.b + self.d * o.d,
        )

    def __add__(self, o):
        return Matrix(self.a + o.a, self.b + o.b, self.c + o.c, self.d + o.d)


MATRICES = st.builds(Matrix, NUMBER, NUMBER, NUMBER, NUMBER)
MAPS = st.builds(Affine, MATRICES, MATRICES)


@given(MAPS, MAPS, MAPS)
def test_then_is_associative(first, second, third):
    assert first.then(second).then(third) == first.then(second.then(third))


@given(MAPS, MAPS, MATRICES)
def test_then_applies_the_earlier_map_first(first, second, state):
    assert first.then(second)(state) == second(first(state))


def test_order_matters():
    first = Affine(Matrix(0, 1, 0, 0), Matrix(1, 0, 0, 0))
    second = Affine(Matrix(0, 0, 1, 0), Matrix(0, 0, 0, 1))
    assert first.then(second) != second.then(first)


@given(MAPS)
def test_identity(any_map):
    identity = Affine(Matrix(1, 0, 0, 1), Matrix(0, 0, 0, 0))
    assert identity.then(any_map) == any_map == any_map.then(identity)


@given(MAPS)
def test_nothing_before_is_state_zero(any_map):
    assert any_map(None) == any_map(Matrix(0, 0, 0, 0))
