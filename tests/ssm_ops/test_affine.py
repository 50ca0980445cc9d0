"""The composition law, on values that are associative and do not commute: exact."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssm_ops import IDENTITY, Affine, chain_prefix, tree_prefix

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
    assert IDENTITY.then(any_map) == any_map == any_map.then(IDENTITY)
    assert IDENTITY(any_map.offset) == any_map.offset
    assert IDENTITY(None) is None
    assert Affine(1, 0)(7) == IDENTITY(7) == 7


@given(MAPS, st.integers(0, 12))
def test_power_is_repeated_then(any_map, times):
    expected = IDENTITY
    for _ in range(times):
        expected = expected.then(any_map)
    assert any_map.power(times) == expected


def test_no_negative_power():
    with pytest.raises(ValueError, match="power -1 of an affine map"):
        Affine(2, 3).power(-1)


@given(st.lists(MAPS, max_size=20))
def test_the_tree_is_the_chain(maps):
    assert tree_prefix(maps) == chain_prefix(maps)


@given(st.lists(MAPS, min_size=1, max_size=9), MATRICES)
def test_prefixes_give_what_enters_each(maps, state):
    entering = state
    for before, one in zip(chain_prefix(maps), maps, strict=True):
        assert before(state) == entering
        entering = one(entering)


@given(MAPS)
def test_nothing_before_is_state_zero(any_map):
    assert any_map(None) == any_map(Matrix(0, 0, 0, 0))
