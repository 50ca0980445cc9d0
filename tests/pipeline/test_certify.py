"""Certificates of transitions and of models: each layer's own transition on the inputs that it really meets."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline import certify as module
from pipeline.certify import certify, layer_scans, model_scans, steps_of, transition_scan
from pipeline.checkpoint import Checkpoint
from pipeline.model import Forecaster
from pipeline.network.settings import ModelSettings
from pipeline.piece import read_piece
from pipeline.storage import arrays
from pipeline.transitions import propagator
from pipeline.volume import InputError
from ssm_ops import ConvSSM, Kernel, Pointwise, scan
from ssm_ops.channels import mix
from tests.synthetic import write_untrained


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_untrained(tmp_path_factory.mktemp("run"))


def forecaster(boundary=("reflect", "reflect", "periodic"), depth=1, channels=1, **settings):
    torch.manual_seed(0)
    return Forecaster(
        ModelSettings(channels=3, states=4, **settings), volume_channels=channels, boundary=boundary, depth=depth
    ).requires_grad_(False)


@pytest.mark.parametrize("depth", [1, 3])
def test_the_scans_are_those_of_the_model(depth, monkeypatch):
    """The offsets, scanned by the transition and read out by C and D, are what the layer gives for what reaches it."""
    met = []
    original = ConvSSM.program

    def program(self, chunks, boundary, dt=None):
        outputs = yield from original(self, chunks, boundary, dt)
        met.append((self, torch.cat(chunks), torch.cat(outputs)))
        return outputs

    model = forecaster(depth=depth)
    frames = torch.randn(7, 1, 3, 5, 6) if depth > 1 else torch.randn(7, 1, 5, 6)
    with monkeypatch.context() as patched:
        patched.setattr(ConvSSM, "program", program)
        model(frames if depth > 1 else frames.unsqueeze(2))
    scans = layer_scans(model, frames)
    assert [one.name for one in scans] == ["layer 1", "layer 2"]
    for one, (layer, x, expected) in zip(scans, met, strict=True):
        states, _ = scan(one.x, one.transition, boundary=one.boundary)
        gain = layer.D.reshape(-1, *[1] * (x.ndim - 2))
        torch.testing.assert_close(mix(layer.C, states) + gain * x, expected, rtol=1e-5, atol=1e-6)
    assert [type(block.mixer) for block in model.blocks] == [ConvSSM, ConvSSM]


@pytest.mark.parametrize(
    "settings", [{"transition": "kernel"}, {"transition": "pointwise"}, {"selective": True}], ids=str
)
def test_layers_of_any_family_are_certified(settings):
    frames = torch.randn(7, 1, 5, 6)
    scans = layer_scans(forecaster(**settings), frames)
    assert (scans[0].dt is not None) == ("selective" in settings)
    for one, certificate in certify(scans, trials=2):
        assert 0 < certificate.worst < one.tolerance


SINGLE, DOUBLE = (torch.float32, 1e-5), (torch.float64, 1e-10)


@pytest.mark.parametrize(("dtype", "tolerance"), [SINGLE, pytest.param(*DOUBLE, marks=pytest.mark.slow)])
def test_a_model_is_certified_layer_by_layer(run, dtype, tolerance):
    name, scans = model_scans(read_piece(run, series="a", frames=6, crop=(4,)), run, dtype=dtype)
    assert name.endswith("checkpoint.zarr, step 0")
    found = list(certify(scans, trials=1))
    assert len(found) == 2
    assert all(one.tolerance == tolerance and 0 < certificate.worst < tolerance for one, certificate in found)
    assert all(0 < certificate.margin < 1 for _, certificate in found)


def test_raw_frames_are_normalised_as_the_model_learned_them(run):
    """A raw store, cropped, gives the inputs that the prepared one gives."""
    name, raw = model_scans(read_piece(run / "raw-0", frames=3, crop=(5, 6)), run)
    _, ready = model_scans(read_piece(run, series="a", frames=3, crop=(5, 6)), run)
    assert "normalises the frames by its training statistics" in name
    for one, other in zip(raw, ready, strict=True):
        torch.testing.assert_close(one.x, other.x, rtol=0, atol=0)


def test_any_family_on_the_frames_and_steps_as_the_calendar_has_them(run):
    piece = read_piece(run / "raw-0", frames=8, crop=(4,))
    kernel, rate = Kernel(torch.tensor([[[0.1, 0.2], [0.3, 0.2]]])), Pointwise(torch.tensor([-0.1 + 0.5j]))
    given = [(kernel, {}), (rate, {}), (propagator(0.1, 0.2, (0.3, 0.5)), {"unit_days": 7.0})]
    for transition, more in given:
        one = transition_scan(piece, transition, boundary=("periodic", "padded:2"), **more)
        ((_, found),) = certify([one], trials=1)
        assert 0 < found.worst < one.tolerance
    np.testing.assert_allclose(one.dt, 1 / 7)


@pytest.mark.parametrize("unit_days", [None, 7.0])
def test_runs_of_a_piece_are_certified_each_from_zero(run, unit_days):
    piece = read_piece(run / "raw-0", frames=8, crop=(4,))
    days = piece.days.clone()
    days[[3, 4]] = torch.inf
    broken = replace(piece, begins=(3, 4), days=days)
    one = transition_scan(broken, propagator(0.1, 0.2, None), unit_days=unit_days)
    states, _ = scan(one.x, one.transition, boundary=one.boundary, dt=one.dt)
    torch.testing.assert_close(states[3:4], one.x[3:4])  # a run of one frame
    ((_, found),) = certify([one], trials=2)
    assert 0 < found.worst < one.tolerance


def test_mistakes_are_explained(run, monkeypatch):
    piece = read_piece(run / "raw-0", frames=4)
    with pytest.raises(InputError, match=r"decay -1 is negative, so states would grow; give 0 or more"):
        propagator(-1.0, 0.0, None)
    with pytest.raises(InputError, match=r"numbers 1, nan; give finite ones"):
        propagator(1.0, float("nan"), None)
    with pytest.raises(InputError, match=r"a unit of time of 0 days; give a positive number"):
        transition_scan(piece, propagator(0.1, 0.0, None), unit_days=0.0)
    with pytest.raises(InputError, match=r"the times of .*raw.zarr are neither dates nor seconds; leave the unit out"):
        transition_scan(replace(piece, days=None), propagator(0.1, 0.0, None), unit_days=2.0)
    still = read_piece(run / "raw-0", frames=4)
    still.frames[:] = 0
    with pytest.raises(InputError, match="all inputs are 0, which certifies nothing"):
        transition_scan(still, propagator(0.1, 0.0, None))
    with pytest.raises(InputError, match="describes no model; give the checkpoint.zarr that train wrote"):
        model_scans(piece, run / "prepared-0" / "prepared.zarr")
    monkeypatch.setattr(module, "MOST_WORK", 1e3)
    with pytest.raises(InputError, match=r"over 4 frames of 9 x 12 voxels, channels 1, takes 9.8 times as long"):
        transition_scan(piece, propagator(0.1, 0.0, None))
    with pytest.raises(InputError, match=r"model: .* channels 4, takes 39.3 times"):
        model_scans(piece, run)


def test_a_model_that_does_not_fit(run, tmp_path):
    piece = read_piece(run / "raw-0", frames=4)
    statistics, _ = arrays.read_arrays(run / "prepared-0" / "statistics.zarr")

    def checkpoint(name, model, statistics):
        weights = {key: value.numpy() for key, value in model.state_dict().items()}
        Checkpoint(0, model.description(), weights, {}, weights, statistics, 1.0).save(tmp_path / name)
        return tmp_path / name

    with pytest.raises(InputError, match=r"reads 2 channels and .*raw.zarr has 1; give the data it was trained for"):
        model_scans(piece, checkpoint("two.zarr", forecaster(channels=2), statistics))
    with pytest.raises(InputError, match=r"reads grids of 3 axes and .*raw.zarr has 2"):
        model_scans(piece, checkpoint("deep.zarr", forecaster(depth=3), statistics))
    smaller = {name: array[..., :8] for name, array in statistics.items()}
    with pytest.raises(InputError, match=r"grid of 9 x 12 voxels is not that of the training frames of .*, 9 x 8"):
        model_scans(piece, checkpoint("other.zarr", forecaster(), smaller))


def test_a_model_s_scans_begin_anew_with_each_run_and_count_its_time(tmp_path):
    run = write_untrained(tmp_path)
    piece = read_piece(run, series="a", frames=6, crop=(4,))
    broken = replace(piece, begins=(2,), days=torch.tensor([1.0, 2, 3, 1, 1, 1]).double())
    _, scans = model_scans(broken, run)
    assert [scan.dt.tolist() for scan in scans] == [[1, 1, torch.inf, 1, 1, 1]] * 2
    assert steps_of(broken, 2 * 86400.0).tolist() == [1, 1, torch.inf, 0.5, 0.5, 0.5]
    _, (alone, _) = model_scans(replace(piece, frames=piece.frames[2:], begins=(), days=None), run)
    assert torch.equal(scans[0].x[2:], alone.x)  # differences to the run before are none
    with pytest.raises(InputError, match="counts time in steps of 3600 s"):
        steps_of(replace(piece, days=None), 3600.0)


def test_a_model_whose_states_are_no_scan_is_refused():
    model = Forecaster(ModelSettings(mixer="gru"), volume_channels=1, boundary=("reflect",) * 3, depth=1)
    with pytest.raises(InputError, match="the model's mixer is 'gru', and certificates are for the scans of convssm"):
        layer_scans(model, torch.zeros(4, 1, 3, 3))
