"""S4, S4D, S5, GSS, H3 against loops in float64 over the equations of their papers, by voxel and by frame."""

import math

import numpy as np
import pytest
import torch

from ssm_ops import LocalExchange, drive
from ssm_ops.initial import hippo_legs, legs_modes
from ssm_ops.mixers.catalogue import Choices, mixer_named

MEMBERS = ["s4", "s4d", "s5", "gss", "h3"]
CHANNELS, STATES, FRAMES, SHAPE, BOUNDARY = 4, 3, 7, (2, 3), ("reflect", "periodic")


@pytest.fixture(autouse=True)
def _one_thread():
    """The products are small: a second thread is only waited for."""
    torch.set_num_threads(1)


def made(name, initial=None):
    """A mixer in float64, and frames."""
    torch.manual_seed(3)
    mixer = mixer_named(name, Choices(CHANNELS, STATES, BOUNDARY, initial=initial)).double()
    for parameter in mixer.parameters():
        parameter.data.add_(0.2 * torch.randn_like(parameter))
    return mixer, torch.randn(FRAMES, CHANNELS, *SHAPE, dtype=torch.float64)


def assert_close(one, other):
    torch.testing.assert_close(one.detach(), other.detach(), rtol=1e-11, atol=1e-11)


def weights(mixer):
    return {name: parameter.detach().numpy() for name, parameter in mixer.named_parameters()}


def softplus(raw):
    return np.log1p(np.exp(raw))


def diagonal(w, u, dt, family="family"):
    """One system a channel of one voxel, u (time, channel): the definition, state by state."""
    y, parts = np.zeros(u.shape), w["C"]
    for channel in range(u.shape[1]):
        step = math.exp(w[f"{family}.raw_step"][channel, 0])
        for n in range(parts.shape[2]):
            frequency = w[f"{family}.frequency"][channel, n] if f"{family}.frequency" in w else 0.0
            A = -softplus(w[f"{family}.raw_decay"][channel, n]) - 1e-5 + 1j * frequency
            C = parts[0, channel, n] + (1j * parts[1, channel, n] if len(parts) == 2 else 0)
            x = 0
            for t, value in enumerate(u[:, channel]):
                a = np.exp(step * dt[t] * A)
                x = a * x + (a - 1) / A * value
                y[t, channel] += 2 * (C * x).real
        y[:, channel] += w["D"][channel] * u[:, channel]
    return y


def s5(w, u, dt):
    rate = -softplus(w["family.raw_decay"]) - 1e-5 + 1j * w["family.frequency"]
    step, x, y = np.exp(w["family.raw_step"]), np.zeros(STATES, complex), np.zeros(u.shape)
    for t, value in enumerate(u):
        for n in range(STATES):
            a = np.exp(step[n] * dt[t] * rate[n])
            x[n] = a * x[n] + (a - 1) / rate[n] * ((w["B"][0, n] + 1j * w["B"][1, n]) @ value)
        y[t] = 2 * ((w["C"][0] + 1j * w["C"][1]) @ x).real + w["D"] * value
    return y


def gelu(x):
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def gss(w, u, dt):
    y = diagonal(w, gelu(u @ w["U"].T), dt)
    return (gelu(u @ w["V"].T) * (y @ w["W"].T)) @ w["O"].T


def h3(w, u, dt):
    q, k, v = np.split(u @ w["QKV"].T, 3, axis=1)
    shift, shifted, outputs = np.diag(np.ones(STATES - 1), -1), np.zeros(u.shape), np.zeros((CHANNELS, STATES))
    for t, keys in enumerate(k):
        for channel in range(CHANNELS):
            outputs[channel] = shift @ outputs[channel] + keys[channel] * np.eye(STATES)[0]
            shifted[t, channel] = w["taps"][channel] @ outputs[channel]
    return (q * diagonal(w, shifted * v, dt)) @ w["O"].T


def s4(w, u, dt):
    """Dense: both of each conjugate pair, the bilinear rule with a solve; steps of 1."""
    assert (dt == 1).all()
    y, rates = np.zeros(u.shape), "family.rates"
    for channel in range(CHANNELS):
        half = -softplus(w[f"{rates}.raw_decay"][channel]) - 1e-5 + 1j * w[f"{rates}.frequency"][channel]
        P, B, C = (w[name][0, channel] + 1j * w[name][1, channel] for name in ("family.P", "B", "C"))
        both = [np.concatenate([each, each.conj()]) for each in (half, P, B, C)]
        A = np.diag(both[0]) - np.outer(both[1], both[1].conj())
        step, one, x = math.exp(w[f"{rates}.raw_step"][channel, 0]), np.eye(2 * STATES), np.zeros(2 * STATES, complex)
        for t, value in enumerate(u[:, channel]):
            right = (one + step / 2 * A) @ x + step * both[2] * value
            x = np.linalg.solve(one - step / 2 * A, right)
            y[t, channel] = (both[3] @ x).real + w["D"][channel] * value
    return y


TRUTHS = {"s4": s4, "s4d": diagonal, "s5": s5, "gss": gss, "h3": h3}


def wanted(mixer, name, x, dt):
    voxels = x.flatten(2).numpy()
    found = [TRUTHS[name](weights(mixer), voxels[:, :, v], dt.numpy()) for v in range(voxels.shape[2])]
    return torch.from_numpy(np.stack(found, axis=2)).reshape(x.shape)


@pytest.mark.parametrize(("name", "initial"), [*((name, None) for name in MEMBERS), ("s4d", "inv"), ("s4d", "real")])
def test_the_equations_of_the_paper(name, initial):
    mixer, x = made(name, initial)
    with torch.no_grad():
        y, _ = mixer(x, BOUNDARY)
    assert_close(y, wanted(mixer, name, x, torch.ones(FRAMES).double()))


@pytest.mark.parametrize("name", ["s4d", "s5", "gss"])
def test_steps_of_any_length_and_what_they_mean(name):
    """As the paper's equations; and a frame held for three units of time is that frame three times."""
    mixer, x = made(name)
    dt = torch.tensor([1.0, 0.3, 3.0, 1.0, 2.5, 0.01, 1.0]).double()
    with torch.no_grad():
        y, left = mixer(x, BOUNDARY, None, dt)
        assert_close(y, wanted(mixer, name, x, dt))
        thrice, _ = mixer(x.repeat_interleave(3, 0), BOUNDARY)
        once, _ = mixer(x, BOUNDARY, None, torch.full((FRAMES,), 3.0).double())
        assert_close(once, thrice[2::3])
        exchange, outputs = LocalExchange(), []
        for shard, own in zip(x.split([4, 3]), dt.split([4, 3]), strict=True):
            outputs += drive(mixer.program([shard], BOUNDARY, [own]), exchange)
            carries = exchange.next_shard()
    assert_close(torch.cat(outputs), y)
    assert_close(carries[0], left)


def test_the_modes_of_legs_are_legs():
    """diag(rates) - P P* in the basis of the modes, both of each pair, is the HiPPO matrix itself."""
    rates, modes = legs_modes(5)
    p = torch.sqrt(torch.arange(10).double() + 0.5)
    full = torch.cat([modes, modes.conj()], dim=1)
    P = full.mH @ p.to(full.dtype)
    A = full @ (torch.diag(torch.cat([rates, rates.conj()])) - torch.outer(P, P.conj())) @ full.mH
    assert_close(full.mH @ full, torch.eye(10, dtype=full.dtype))
    assert_close(A.real, hippo_legs(10))
    assert A.imag.abs().max() < 1e-12


@pytest.mark.parametrize("frames", [1, 2, 7, 64, 2000])
def test_the_kernel_of_s4_is_powers_of_hippo(frames):
    """At the start the kernel is C A^t B of the dense HiPPO-LegS, made discrete by a solve, power by power."""
    torch.manual_seed(0)
    mixer = mixer_named("s4", Choices(2, 8, BOUNDARY)).double()
    modes = legs_modes(8)[1]
    run = mixer.system().over(frames)
    kernel = run.kernel.detach()
    for channel in range(2):
        step = mixer.family.rates.step[channel, 0].item()
        A, one = hippo_legs(16).numpy(), np.eye(16)
        C = 2 * (torch.complex(*mixer.C[:, channel].detach()) @ modes.mH).real.numpy()
        x = np.linalg.solve(one - step / 2 * A, step * np.sqrt(2 * np.arange(16) + 1))
        expected = []
        for _ in range(frames):
            expected.append(C @ x)
            x = np.linalg.solve(one - step / 2 * A, (one + step / 2 * A) @ x)
        scale = np.abs(expected).max()
        # float32 rounds the weights' beginnings
        np.testing.assert_allclose(kernel[channel].numpy(), expected, rtol=0, atol=3e-6 * scale)
    _, B, C = mixer.system().matrices()
    assert_close(kernel, (C @ run.reached.flip(-1)).squeeze(1))
    assert_close(kernel[:, 1:], (run.recalled @ B).squeeze(2)[:, :-1])


def test_s4_in_tiles_is_s4(monkeypatch):
    mixer, x = made("s4")
    whole, left = mixer(x, BOUNDARY)
    monkeypatch.setattr("ssm_ops.mixers.s4.TILE", 3 * FRAMES * CHANNELS)
    tiled, also = mixer(x, BOUNDARY)
    assert_close(tiled, whole)
    assert torch.equal(also, left)


@pytest.mark.parametrize("name", MEMBERS)
def test_a_long_memory_stays_exact_in_single_precision(name):
    """1,000 frames, at once and then one by one, against float64."""
    mixer, _ = made(name)
    x = torch.randn(1000, CHANNELS, 1, 2).double()
    with torch.no_grad():
        truth, _ = mixer(x, BOUNDARY)
        mixer = mixer.float()
        at_once, carry = mixer(x[:950].float(), BOUNDARY)
        one_by_one = []
        for frame in x[950:].float():
            y, carry = mixer.step(frame, BOUNDARY, carry)
            one_by_one.append(y)
    found = torch.cat([at_once, torch.stack(one_by_one)])
    assert (found - truth).abs().max() < 2e-5 * truth.abs().max()


@pytest.mark.parametrize("name", MEMBERS)
def test_outputs_start_with_about_the_size_of_the_input(name):
    """Of noise, and of what stays as it is."""
    sizes = []
    for seed in range(8):
        torch.manual_seed(seed)
        mixer = mixer_named(name, Choices(16, 16, BOUNDARY))
        noise = torch.randn(64, 16, 3, 3)
        with torch.no_grad():
            sizes.append([mixer(x, BOUNDARY)[0].square().mean() for x in (noise, noise[:1].expand(64, -1, -1, -1))])
    of_noise, of_stills = torch.tensor(sizes).mean(0).sqrt().tolist()
    assert 0.3 < of_noise < 3
    assert 0.3 < of_stills < 3


@pytest.mark.parametrize("name", MEMBERS)
def test_autocast(name):
    """Products may be in a lower precision; the carry is not, and gradients arrive."""
    mixer, x = made(name)
    mixer, x = mixer.float(), x.float()
    whole, left = mixer(x, BOUNDARY)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, carry = mixer(x.bfloat16()[:4], BOUNDARY)
        late, carry = mixer(x[4:], BOUNDARY, carry)
    assert carry.dtype == left.dtype
    assert (torch.cat([y, late]) - whole).abs().max() < 0.05 * whole.abs().max()
    late.float().square().sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in mixer.parameters())
