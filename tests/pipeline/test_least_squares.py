"""A start by least squares: its numbers against numpy, nothing near it is better, and what training makes of it."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.fft import dctn, idctn

from pipeline.checkpoint import Checkpoint
from pipeline.dataset import splits_of
from pipeline.mesh import Alone
from pipeline.model import Forecaster
from pipeline.network.settings import ModelSettings
from pipeline.storage import store
from pipeline.train import Training
from pipeline.training.least_squares import LeastSquares, start_by_least_squares
from pipeline.training.settings import TrainSettings
from pipeline.volume import InputError
from tests.pipeline.test_masks import prepare
from tests.pipeline.training_runs import left_by, records, stopped, trained

BANK = LeastSquares(memories=(1.0, 4.0), diffusivities=(0.0, 2.0), ridge=0.01, trend=0.05)
SETTINGS = TrainSettings(
    ModelSettings(channels=2, states=5, layers=2),
    start=BANK,
    steps=4,
    window=24,
    burn_in=4,
    validate_every=2,
    checkpoint_every=2,
    threads=1,
)


FEW = dataclasses.replace(SETTINGS, start=dataclasses.replace(BANK, memories=(4.0,), diffusivities=(0.0,)))


@pytest.fixture(autouse=True)
def one_thread(fixed_threads):
    """Frames are tiny here."""
    del fixed_threads
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def prepared(finished_run):
    return finished_run["prepared"]


def read_by(model, bank):
    """How the forecast of each channel reads the present frame and its own states."""
    ssm, count = model.blocks[0].mixer, len(bank.bank)
    channels = range(model.volume_channels)
    return np.array([[ssm.D[c].item() + 1, *ssm.C[c, c * count : (c + 1) * count].tolist()] for c in channels])


def features(frames, bank):
    """What each number multiplies in the forecast after each frame: differences, and their averages, in float64."""
    axes = [np.pi * np.arange(size) / size for size in frames.shape[1:]]
    squares = axes[0][:, None] ** 2 + axes[1] ** 2
    differences = np.diff(frames, axis=0, prepend=frames[:1])
    spectra, result = dctn(differences, axes=(1, 2)), [differences]
    for memory, diffusivity in bank.bank:
        state, states = 0.0, []
        for spectrum in spectra:
            state = np.exp(-1 / memory - diffusivity * squares) * state + (1 - np.exp(-1 / memory)) * spectrum
            states.append(state)
        result.append(idctn(np.array(states), axes=(1, 2)))
    return np.array(result)


def normal_equations(frames, bank, burn_in):
    found = features(frames, bank)[:, burn_in:-1].reshape(1 + len(bank.bank), -1)
    aim = (frames[1:] - frames[:-1])[burn_in:].ravel()
    return found @ found.T / aim.size, found @ aim / aim.size


def test_it_is_the_ridge_regression(prepared, tmp_path):
    (span,) = splits_of(prepared)["train"]
    frames = store.read_frames(prepared / "prepared.zarr", span.series, span.start, span.stop)[:, 0, 0].astype(float)
    trend = np.broadcast_to(BANK.trend * np.arange(24.0)[:, None, None], (24, *frames.shape[1:]))
    (gram, aim), (more, further) = (normal_equations(run, BANK, burn_in=4) for run in (frames, trend))
    gram, aim = gram + more, aim + further
    expected = np.linalg.solve(gram + BANK.ridge * np.diag(np.diag(gram)), aim)
    for seed in (0, 1):
        model = Training(dataclasses.replace(SETTINGS, seed=seed), prepared, tmp_path, Alone()).model
        np.testing.assert_allclose(read_by(model, BANK), [expected], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("reads", ["differences", "levels"])
def test_nothing_near_it_is_better_where_values_are_missing_and_channels_are_two(tmp_path, reads):
    """Without a ridge the gradient of the errors is zero: of the frames, of a level and of a trend alone."""

    def change(data):
        data[:, 1] += 3 * np.sin(np.arange(40) / 3)[:, None, None, None]
        data[np.random.default_rng(1).random(data.shape) < 0.2] = np.nan

    _, stored, _ = prepare(tmp_path, change)
    bank = LeastSquares((0.5, 3.0), (0.0,), ridge=0.0, level=0.7, trend=0.2)
    settings = ModelSettings(channels=3, states=4, layers=1, reads=reads)
    model = Forecaster(settings, volume_channels=2, boundary=("reflect",) * 3, depth=1, masks=2)
    path, spans = tmp_path / "prepared" / "prepared.zarr", splits_of(tmp_path / "prepared")["train"]
    start_by_least_squares(model, bank, path, spans, window=15, burn_in=3, seed=5)

    level = 0.7 * torch.from_numpy(np.random.default_rng(5).standard_normal((2, 1, 4, 5), np.float32))
    trend = 0.2 * torch.arange(15.0).reshape(-1, 1, 1, 1, 1)
    known, loss = torch.ones(15, 2, 1, 4, 5), 0.0
    for run in (torch.from_numpy(stored[:20]), *(torch.cat([x * known, known], 1) for x in (level, trend))):
        errors, valued = model(run)[0][3:-1] - run[4:, :2], run[4:, 2:]
        loss = loss + (errors * valued).square().sum() / valued.sum()
    ssm = model.blocks[0].mixer
    gains, readout = torch.autograd.grad(loss, [ssm.D, ssm.C])
    slopes = [*gains[:2], *readout[0, :2], *readout[1, 2:]]
    torch.testing.assert_close(torch.stack(slopes), torch.zeros(6), rtol=0, atol=2e-5)
    assert abs(read_by(model, bank)).min() > 1e-2


def test_a_trend_that_training_does_not_show_is_followed(prepared, tmp_path):
    """With a heavy prior for trends the forecast of a plain trend has no lag, which that of an average has."""
    ramp = 0.1 * torch.arange(60.0).reshape(-1, 1, 1, 1, 1).expand(-1, 1, 1, 9, 12)
    lags = []
    for trend in (0.0, 10.0):
        settings = dataclasses.replace(SETTINGS, start=dataclasses.replace(BANK, trend=trend))
        model = Training(settings, prepared, tmp_path, Alone()).model
        with torch.no_grad():
            lags.append((ramp[-1] - model(ramp)[0][-2]).abs().max().item())
    assert lags[1] < 0.005 < 0.05 < lags[0]


@pytest.mark.slow
def test_the_start_is_looked_at_and_kept_where_training_spoils_it(prepared, tmp_path):
    wild = dataclasses.replace(FEW, learning_rate=0.5, warm_up=0, ema=0.5)
    trained(wild, prepared, tmp_path / "run")
    checks = {one["step"]: one["validation_mse"] for one in records(tmp_path / "run") if "validation_mse" in one}
    assert list(checks) == [0, 2, 4]
    made = Checkpoint.load(tmp_path / "run" / "checkpoint.zarr")
    assert made.best_error == checks[0] == min(checks.values())
    untrained = Training(wild, prepared, tmp_path, Alone()).untrained()
    assert all(np.array_equal(made.best[name], value) for name, value in untrained.state_dict().items())


@pytest.mark.slow
def test_stopped_and_continued_is_the_same_to_the_bit(prepared, tmp_path):
    trained(FEW, prepared, tmp_path / "whole")
    for steps in (1, 2):
        stopped(FEW, prepared, tmp_path / "broken", at=steps)
    trained(FEW, prepared, tmp_path / "broken")
    assert left_by(tmp_path / "broken") == left_by(tmp_path / "whole")


@pytest.mark.slow
def test_what_diverges_at_once_goes_back_to_the_fitted_start(prepared, tmp_path, monkeypatch):
    look, looks = Training.look, []

    def once(self):
        looks.append(look(self))
        return (float("nan"), 1.0) if len(looks) == 2 else looks[-1]

    monkeypatch.setattr(Training, "look", once)
    trained(dataclasses.replace(FEW, learning_rate=0.5, warm_up=0), prepared, tmp_path / "run")
    found = records(tmp_path / "run")
    checks = [(one["step"], one["validation_mse"]) for one in found if "validation_mse" in one]
    assert [step for step, _ in checks] == [0, 2, 4]
    assert any(one.get("rollback") == 1 and one["step"] == 0 for one in found)
    assert Checkpoint.load(tmp_path / "run" / "checkpoint.zarr").best_error == min(error for _, error in checks)


WRONG = [
    ({"mixer": "gru"}, "and mixer is 'gru'; set it to 'convssm', or leave start out"),
    ({"transition": "pointwise"}, "the model's transition is 'pointwise'; set it to propagator"),
    ({"states": 3}, "4 states for each of 1 channels of the data, and the model has 3 states"),
]


@pytest.mark.parametrize(("choice", "message"), WRONG)
def test_a_model_without_room(prepared, tmp_path, choice, message):
    settings = dataclasses.replace(SETTINGS, model=dataclasses.replace(SETTINGS.model, **choice))
    with pytest.raises(InputError, match=message):
        Training(settings, prepared, tmp_path, Alone())


NONSENSE = [
    {"memories": ()},
    {"memories": (0.0,)},
    {"memories": (1e5,)},
    {"diffusivities": (-1.0,)},
    {"ridge": -1.0},
    {"trend": float("inf")},
]


@pytest.mark.parametrize("wrong", NONSENSE, ids=str)
def test_settings_are_checked(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} (is|are) .*; give "):
        LeastSquares(**wrong)
