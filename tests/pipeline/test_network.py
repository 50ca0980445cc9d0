"""Models of all tasks, with patches, norms and steps of time, against their float64 twin and however time is cut."""

import json
import math

import numpy as np
import pytest
import torch

from pipeline.model import Behind, Forecaster, gap
from pipeline.network.decoder import Decoder
from pipeline.network.encoder import Neighbours
from pipeline.network.settings import ModelSettings
from pipeline.volume import InputError
from ssm_ops import LocalExchange, drive
from tests.whole_model import made as reference

PERIODIC = ((1, 6, 8), ("reflect", "reflect", "periodic"))
SOLID = ((3, 5, 4), ("reflect", "reflect", "periodic"))

MODELS = [
    ({"patch": 2, "reads": "levels"}, PERIODIC),
    ({"reads": "levels", "ahead": "gaps"}, PERIODIC),
    ({"patch": 2, "upsampling": "resize", "norm": True}, ((1, 7, 8), ("reflect", "reflect", "periodic"))),
    ({"patch": 2, "patch_taps": 1, "norm": True}, ((1, 7, 8), ("reflect", "reflect", "periodic"))),
    ({"patch": 2, "gate_taps": 3, "reads": "both"}, ((4, 5, 4), ("reflect", "reflect", "periodic"))),
    ({"task": "denoise", "norm": True}, SOLID),
    ({"task": "denoise", "bidirectional": True, "gate_taps": 3}, PERIODIC),
    ({"task": "map", "patch": 2, "bidirectional": True, "reads": "both"}, ((1, 5, 6), ("reflect",) * 3)),
]
STEPS = torch.tensor([1.0, 1, 0.5, 2, 1, math.inf, 1, 3, 1, 0.25, 1, 1])


def stirred(choice, grid, boundary, masks=0):
    """A model away from its starting point, where whole paths are zero."""
    torch.manual_seed(0)
    targets = {"denoise": ("a", "b"), "map": ("a", "b", "c")}.get(choice.get("task"), ())
    settings = ModelSettings(targets=targets, channels=4, states=5, layers=2, **choice)
    outputs = len(targets) or None
    model = Forecaster(
        settings, volume_channels=2, boundary=boundary, depth=grid[0], masks=masks, outputs=outputs
    ).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    x = torch.randn(len(STEPS), 2 + masks, *grid, dtype=torch.float64)
    if settings.gaps:
        x[4:6], x[9:] = gap(x[4:6]), gap(x[9:])
    return model, x


@pytest.mark.parametrize("steps", [None, STEPS.double()], ids=["even", "uneven"])
@pytest.mark.parametrize(("choice", "case"), MODELS, ids=str)
def test_a_model_is_its_reference(choice, case, steps):
    model, x = stirred(choice, *case)
    behind = None if steps is None else Behind(steps=[after(steps)])
    with torch.no_grad():
        actual, _ = model(x, steps=steps, behind=behind)
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    images = x.squeeze(2) if case[0][0] == 1 else x
    expected = reference(
        weights, model.settings, images.numpy(), model.boundary, None if steps is None else steps.numpy()
    )
    np.testing.assert_allclose(actual.numpy().reshape(expected.shape), expected, rtol=0, atol=1e-9)


def after(steps):
    return torch.cat([steps[1:], torch.ones_like(steps[:1])])


@pytest.mark.parametrize(
    ("choice", "case", "cuts"), [*((*made, [4, 1, 7]) for made in MODELS), (*MODELS[6], [1, 10, 1])], ids=str
)
def test_time_may_be_cut_anywhere(choice, case, cuts):
    """Shards one after the other, of two chunks each; what comes from behind is known from a walk back."""
    model, x = stirred(choice, *case)
    steps = STEPS.double()
    with torch.no_grad():
        whole, _ = model(x, steps=steps, behind=Behind(steps=[after(steps)]))
        pieces = list(zip(x.split(cuts), steps.split(cuts), after(steps).split(cuts), strict=True))
        entering, backwards = [], LocalExchange()
        for frames, _, later in reversed(pieces):
            entering.insert(0, backwards._entering)
            if model.settings.bidirectional:
                drive(model.mirrored([frames], [later]), backwards)
                backwards.next_shard()
        exchange, parts = LocalExchange(), []
        for (frames, own, later), carries in zip(pieces, entering, strict=True):
            half = math.ceil(len(frames) / 2)
            behind = Behind(carries or None, list(later.split(half)))
            parts += drive(model.program(list(frames.split(half)), list(own.split(half)), behind), exchange)
            exchange.next_shard()
    torch.testing.assert_close(torch.cat(parts), whole, rtol=0, atol=1e-10)
    again = Forecaster.from_description(json.loads(json.dumps(model.description()))).double()
    again.load_state_dict(model.state_dict())
    with torch.no_grad():
        assert torch.equal(again(x, steps=steps, behind=Behind(steps=[after(steps)]))[0], whole)


def test_what_an_infinite_step_forgets():
    """The frames from there on are those of a series that begins there, for differences and frames alike."""
    model, x = stirred({"reads": "both", "patch": 2}, *PERIODIC)
    with torch.no_grad():
        torch.testing.assert_close(model(x, steps=STEPS.double())[0][5:], model(x[5:], steps=STEPS[5:].double())[0])


@pytest.mark.parametrize("taps", [1, 3])
def test_an_exponential_average_starts_in_patches_too(taps):
    torch.manual_seed(0)
    settings = ModelSettings(channels=12, states=12, layers=2, patch=2, patch_taps=taps)
    model = Forecaster(settings, volume_channels=3, boundary=PERIODIC[1], depth=1)
    x, average = torch.randn(10, 3, *PERIODIC[0]), 0.0
    with torch.no_grad():
        actual, _ = model(x)
    for t, frame in enumerate(x):
        average = frame if t == 0 else average + settings.rate * (frame - average)
        torch.testing.assert_close(actual[t], average, rtol=0, atol=5e-5)


def test_the_decoder_is_the_adjoint_shape_of_the_encoder():
    """Patches that are not whole are filled by mirroring and cut off again; of one voxel nothing changes."""
    x = torch.arange(7.0).reshape(1, 1, 1, 7).expand(1, 1, 7, 7)
    encoder = Neighbours(1, 2, ("reflect", "reflect"), patch=3)
    assert encoder(x).shape == (1, 2, 3, 3)
    decoder = Decoder(2, 1, ("reflect", "reflect"), 3)
    assert decoder.to_frames(encoder(x), (7, 7)).shape == x.shape
    with torch.no_grad():
        encoder.weight.zero_()[0, 0, 4, 5] = 1  # the middle patch's second row, third column
    torch.testing.assert_close(encoder(x)[0, 0, 0], torch.tensor([2.0, 5.0, 5.0]))  # 6 | 6 5 4


@pytest.mark.parametrize(
    ("patch", "boundary", "told"),
    [(3, ("reflect", "reflect", "periodic"), "do not divide the 8"), (4, ("reflect",) * 3, "at most 3")],
)
def test_patches_that_do_not_fit_are_refused(patch, boundary, told):
    model = Forecaster(ModelSettings(patch=patch), volume_channels=1, boundary=boundary, depth=1)
    with pytest.raises(InputError, match=told):
        model.grid((1, 6, 8))


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        ({"bidirectional": True}, "knows no later frames"),
        ({"classes": 3}, "only 'map' makes labels"),
        ({"task": "map", "classes": 1, "targets": ("a",)}, "at least 2"),
        ({"task": "map", "classes": 2, "targets": ("a", "b")}, "labels are one channel"),
        ({"task": "map"}, "name the channels that it makes"),
        ({"targets": ("a",)}, "leave targets out"),
        ({"task": "map", "targets": ("a", "a")}, "each channel once"),
        ({"uneven": True, "transition": "kernel"}, "one whole step"),
        ({"mixer": "grue"}, "mixer is 'grue', which is none; did you mean gru"),
        ({"mixer": "gru", "transition": "kernel"}, "transition is kernel with mixer 'gru', which can be told initial"),
        ({"mixer": "gru", "uneven": True}, "uneven with mixer 'gru', which knows steps of 1 only; use one of convssm"),
        ({"mixer": "s4d", "initial": "he"}, "initial is 'he' with mixer 's4d'; give one of lin, inv, real"),
        ({"patch": 0}, "at least 1"),
        ({"patch_taps": 1}, "patch_taps is 1 with patch 1"),
        ({"ahead": "gaps"}, "that reads 'differences'.*Set reads to levels"),
        ({"patch_taps": 1, "patch": 2, "upsampling": "resize"}, "give larger patches and 'transposed'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(choice, told):
    with pytest.raises(ValueError, match=told):
        ModelSettings(**choice)


def test_masks_are_read_and_missing_values_of_targets_do_not_count():
    model, x = stirred({"patch": 2, "reads": "both"}, *PERIODIC, masks=1)
    x[:, 2:] = (torch.rand(len(x), 1, *PERIODIC[0]) > 0.3).double()
    x[:, :2] *= x[:, 2:]
    with torch.no_grad():
        made, _ = model(x)
        errors = model.errors(made[:-1], x[1:])
        assert (errors[(x[1:, 2:] == 0).expand_as(errors)] == 0).all()
        assert model.valued(x[1:]) == int(x[1:, 2:].sum()) * 2
        other = x.clone()
        other[:, 2:] = 1
        assert not torch.equal(model(other)[0], made)
