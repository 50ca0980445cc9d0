from .affine import IDENTITY, Affine, chain_prefix, tree_prefix
from .carry import Carry, CarryExchange, LocalExchange, drive
from .convolution import convolve_in_time
from .discretize import backward_euler, bilinear, forward_euler, zero_order_hold
from .families import learned_family
from .hippo import hippo_basis, hippo_matrices, hippo_reconstruct, hippo_states
from .identities import (
    circulant,
    circular_convolution,
    fold,
    impulse_response,
    kernel_power,
    linear_convolution,
    toeplitz,
)
from .learned import LearnedKernel, LearnedPointwise, LearnedPropagator, SelectiveSteps
from .mixers.convssm import ConvSSM
from .oscillator import harmonic_oscillator, oscillation
from .padding import wraparound
from .pixel import step
from .ranks import sharded_scan
from .scanning import bidirectional, final_carry, scan
from .spectrum import BOUNDARIES, Grid
from .time_parallel import TimeExchange, exchanged, time_parallel_scan
from .transition import Kernel, Pointwise, Propagator, Transition
from .verify import Certificate, stability_margin, verify_scan
from .whippo import whippo_basis, whippo_blur, whippo_matrix

__all__ = [
    "BOUNDARIES",
    "IDENTITY",
    "Affine",
    "Carry",
    "CarryExchange",
    "Certificate",
    "ConvSSM",
    "Grid",
    "Kernel",
    "LearnedKernel",
    "LearnedPointwise",
    "LearnedPropagator",
    "LocalExchange",
    "Pointwise",
    "Propagator",
    "SelectiveSteps",
    "TimeExchange",
    "Transition",
    "backward_euler",
    "bidirectional",
    "bilinear",
    "chain_prefix",
    "circulant",
    "circular_convolution",
    "convolve_in_time",
    "drive",
    "exchanged",
    "final_carry",
    "fold",
    "forward_euler",
    "harmonic_oscillator",
    "hippo_basis",
    "hippo_matrices",
    "hippo_reconstruct",
    "hippo_states",
    "impulse_response",
    "kernel_power",
    "learned_family",
    "linear_convolution",
    "oscillation",
    "scan",
    "sharded_scan",
    "stability_margin",
    "step",
    "time_parallel_scan",
    "toeplitz",
    "tree_prefix",
    "verify_scan",
    "whippo_basis",
    "whippo_blur",
    "whippo_matrix",
    "wraparound",
    "zero_order_hold",
]
