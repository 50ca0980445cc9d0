"""Orientation: as nibabel has it, for every order and direction of axes; grids run north and east."""

import itertools
import sys

import nibabel
import numpy as np
import pytest
from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform

from pipeline.reshape.orient import check_orientation, orient
from pipeline.volume import AXES, DATA, InputError
from tests.reshape.volumes import grid, places, scan

VALUES = np.random.default_rng(0).normal(size=(2, 1, 3, 4, 5))
CODES = ["".join(code) for pairs in itertools.permutations(("RL", "AP", "SI")) for code in itertools.product(*pairs)]


def oblique(code, angle=0.2):
    """An affine of nearest orientation `code`, turned by an angle, with voxels of three sizes."""
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    axes = np.zeros((3, 3))
    for axis, (to, sign) in enumerate(axcodes2ornt(tuple(code))):
        axes[int(to), axis] = sign
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn @ axes * [2, 2.5, 3], [-7, 11, 3]
    return affine


@pytest.mark.parametrize("code", CODES)
def test_canonical_is_what_nibabel_has(code):
    affine = oblique(code)
    found = orient(scan(VALUES, affine), "canonical")
    image = nibabel.as_closest_canonical(nibabel.Nifti1Image(VALUES[:, 0].transpose(3, 2, 1, 0), affine))
    assert np.array_equal(found[DATA].values[:, 0], image.get_fdata().transpose(3, 2, 1, 0))
    assert np.allclose(found.attrs["affine"], image.affine, rtol=1e-6)
    assert found.attrs["orientation"] == "RAS"
    assert found[DATA].dims == AXES


@pytest.mark.parametrize("code", CODES)
def test_any_orientation_from_another(code):
    affine = oblique("PIL")
    found = orient(scan(VALUES, affine), code)
    change = ornt_transform(io_orientation(affine), axcodes2ornt(tuple(code)))
    assert np.array_equal(found[DATA].values[0, 0].T, apply_orientation(VALUES[0, 0].T, change))
    assert found.attrs["orientation"] == code
    back = orient(found, "PIL")
    assert np.array_equal(back[DATA].values, VALUES)
    assert np.allclose(back.attrs["affine"], affine)


def test_coordinates_follow_and_a_canonical_volume_is_unchanged():
    straight = scan(VALUES, np.array([[-2.0, 0, 0, 8], [0, 0, 3, -1], [0, 2.5, 0, 4], [0, 0, 0, 1]]))
    found = orient(straight, "RAS")
    where = places(found.attrs["affine"], found[DATA].shape[2:])
    for axis, name, position in ((2, "z", (slice(None), 0, 0)), (1, "y", (0, slice(None), 0)), (0, "x", (0, 0))):
        assert np.allclose(found[name].values, where[position][:, axis])
        assert (np.diff(found[name].values) > 0).all()
    assert found["y"].dims == ("height",)
    assert orient(found, "canonical") is found


def test_grids_run_north_and_east():
    values = np.random.default_rng(0).normal(size=(2, 3, 4))
    north = grid(values, [10, 20, 30], [350, 355, 0, 5])
    same = orient(north, "canonical")
    assert np.array_equal(same[DATA].values[:, 0, 0], values)
    turned = orient(grid(values[:, ::-1, ::-1], [30, 20, 10], [5, 0, -5, -10]), "canonical")
    assert np.array_equal(turned[DATA].values[:, 0, 0], values)
    assert turned["latitude"].values.tolist() == [10, 20, 30]
    assert turned["longitude"].values.tolist() == [-10, -5, 0, 5]


def test_without_nibabel_the_message_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "nibabel.orientations", None)
    with pytest.raises(InputError, match=r"nibabel, .* not installed; .*pip install 'chronovox\[medical\]'"):
        orient(scan(VALUES, oblique("LPS")), "RAS")


def test_what_cannot_be_oriented_is_refused():
    volume = grid(np.zeros((2, 3, 4)))
    with pytest.raises(InputError, match=r"to RAS and has no affine .* write orient: canonical"):
        orient(volume, "RAS")
    with pytest.raises(InputError, match=r"nor along height a coordinate .*has time, longitude"):
        orient(volume.drop_vars(["latitude", "channel"]), "canonical")
    for wrong in ("RAX", "RA", "RAR", "RLS", "ras", "upwards"):
        with pytest.raises(ValueError, match="one each of L/R, P/A and I/S"):
            check_orientation(wrong)
    for code in (*CODES, "canonical"):
        check_orientation(code)
