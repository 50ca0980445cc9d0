"""The convolutional state-space recurrence in frequency space: h_t = A * h_{t-1} + u_t, in any cut of time.

Needs torch, numpy, numba and jaxtyping's annotations, nothing else of Chronovox. Start with
`reference.py` (the definition), then `scan.py`.
"""

from ssm_ops.affine import IDENTITY, Affine, chain_prefix, tree_prefix
from ssm_ops.carry import Carry, CarryExchange, LocalExchange, drive
from ssm_ops.convolution import convolve_in_time
from ssm_ops.families import learned_family
from ssm_ops.layer import ConvSSM
from ssm_ops.learned import LearnedKernel, LearnedPointwise, LearnedPropagator, SelectiveSteps
from ssm_ops.padding import wraparound
from ssm_ops.pixel import step
from ssm_ops.ranks import sharded_scan
from ssm_ops.scan import bidirectional, final_carry, scan
from ssm_ops.spectrum import BOUNDARIES, Grid
from ssm_ops.time_parallel import TimeExchange, exchanged, time_parallel_scan
from ssm_ops.transition import Kernel, Pointwise, Propagator, Transition
from ssm_ops.verify import Certificate, stability_margin, verify_scan

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
    "bidirectional",
    "chain_prefix",
    "convolve_in_time",
    "drive",
    "exchanged",
    "final_carry",
    "learned_family",
    "scan",
    "sharded_scan",
    "stability_margin",
    "step",
    "time_parallel_scan",
    "tree_prefix",
    "verify_scan",
    "wraparound",
]
