"""Grids and their spectra: every boundary, size and axis; real fields stay real."""

import pytest
import torch

from ssm_ops import Grid
from tests.ssm_ops.cases import GRIDS, inputs


@pytest.mark.parametrize(("shape", "boundary"), GRIDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_spectrum_inverts(shape, boundary, dtype):
    grid, x = Grid(shape, boundary), inputs(shape, dtype=dtype)
    spectrum = grid.to_spectrum(x)
    assert spectrum.shape[2:] == grid.spectrum_shape
    assert spectrum.dtype == grid.spectrum_dtype(dtype)
    out = torch.full_like(x, torch.nan)
    torch.testing.assert_close(grid.to_field(spectrum.clone()), x)
    grid.to_field(spectrum, out=out)
    torch.testing.assert_close(out, x)


@pytest.mark.parametrize(("shape", "boundary"), GRIDS)
def test_the_adjoint_weight(shape, boundary):
    """<to_field(S), y> = <S, weight * to_spectrum(y)> for every spectrum S and field y."""
    grid, y = Grid(shape, boundary), inputs(shape, 1)[0]
    spectrum = grid.to_spectrum(inputs(shape, 1, seed=5)[0])
    left = (grid.to_field(spectrum.clone()) * y).sum()
    right = (spectrum * (grid.adjoint_weight(y.dtype, y.device) * grid.to_spectrum(y)).conj()).real.sum()
    torch.testing.assert_close(left, right)


def test_the_guard_band_is_what_was_asked_for():
    assert Grid((5, 7), ("padded:3", "periodic")).ring == (8, 7)
    assert Grid((37,), ("padded",)).ring == (75,)


def test_refusals():
    with pytest.raises(ValueError, match="boundary 'mirror' of axis 1 is unknown; use one of periodic, reflect"):
        Grid((4, 4), ("periodic", "mirror"))
    with pytest.raises(ValueError, match="one boundary for each"):
        Grid((4, 4), ("periodic",))
