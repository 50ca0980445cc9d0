"""Statistics of a series in bands of voxels, where memory is short: the same bits as in one look, or refused."""

import subprocess
import sys

import dask.array
import numpy as np
import pytest

from pipeline.measured import bands, measured
from pipeline.moments import Period
from pipeline.storage import means as resources
from pipeline.storage.means import Means
from pipeline.volume import InputError

SHAPE = (40, 2, 3, 7, 5)
VALUES = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
VALUES[np.random.default_rng(1).random(SHAPE) < 0.1] = np.nan
PERIODS = [Period(0, 20), Period(25, 40, np.arange(15) % 3, 4)]
DATA = dask.array.from_array(VALUES, chunks=(6, -1, -1, -1, -1))


@pytest.mark.parametrize("room", [5e4, 2e4, 1.0])
def test_bands_give_the_bits_of_one_look(room, monkeypatch):
    survey, whole = measured(DATA, PERIODS, Means())
    monkeypatch.setattr(resources, "FOR_STATISTICS", room)
    assert len(bands(SHAPE[1:], 2, PERIODS, Means())) > 1
    again, parts = measured(DATA, PERIODS, Means())
    assert again == survey
    assert survey.missing == np.isnan(VALUES).sum()
    for groups, others in zip(whole, parts, strict=True):
        for one, other in zip(groups, others, strict=True):
            assert (one is None) == (other is None)
            for name in ("count", "mean", "squares") if one else ():
                np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert whole[1][3] is None
    np.testing.assert_allclose(whole[0][0].mean, np.nan_to_num(np.nanmean(VALUES[:20], 0)), rtol=1e-5, atol=1e-6)


def test_statistics_that_no_band_helps_are_refused(monkeypatch):
    monkeypatch.setattr(resources, "held_bytes", lambda: 0.0)
    with pytest.raises(InputError, match=r"statistics of 5 groups .* take .* GB .*; allow more with --memory"):
        measured(DATA, PERIODS, Means(1e4, 1))


def test_data_are_prepared_without_what_models_need(tmp_path):
    (tmp_path / "a.npy").write_bytes(b"")
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        "name: data\nstages:\n  raw: {stage: ingest, source: a.npy}\n  prepared:\n    stage: preprocess\n"
        "    inputs: {s: raw}\n    splits:\n      train: {series: s, first: 0, last: 3}\n"
        "      validation: {series: s, first: 4, last: 5}\n      test: {series: s, first: 6, last: 7}\n"
    )
    code = (
        "import sys, cluster, workflows.run, workflows.display\n"
        "from pathlib import Path\nfrom workflows.language.load import load\n"
        "load(Path(sys.argv[1]))\nprint(sorted({'torch', 'ray', 'numba'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code, recipe], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr
