"""The convolutional state-space recurrence in frequency space: h_t = A * h_{t-1} + u_t, in any cut of time.

Needs torch, numpy, numba and jaxtyping's annotations, nothing else of Chronovox. Start with
`reference.py` (the definition), then `scan.py`.
"""

from ssm_ops.affine import Affine
from ssm_ops.carry import Carry, CarryExchange, LocalExchange, drive
from ssm_ops.layer import ConvSSM
from ssm_ops.padding import wraparound
from ssm_ops.pixel import step
from ssm_ops.scan import final_carry, scan
from ssm_ops.spectrum import BOUNDARIES, Grid
from ssm_ops.transition import Kernel, Pointwise, Propagator, Transition

__all__ = [
    "BOUNDARIES",
    "Affine",
    "Carry",
    "CarryExchange",
    "ConvSSM",
    "Grid",
    "Kernel",
    "LocalExchange",
    "Pointwise",
    "Propagator",
    "Transition",
    "drive",
    "final_carry",
    "scan",
    "step",
    "wraparound",
]
