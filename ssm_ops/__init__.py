"""The convolutional state-space recurrence in frequency space: h_t = A * h_{t-1} + u_t, in any cut of time.

Needs torch, numpy and jaxtyping's annotations, nothing else of Chronovox. Start with
`reference.py` (the definition), then `scan.py`.
"""

from ssm_ops.affine import Affine
from ssm_ops.carry import Carry, CarryExchange, LocalExchange, drive
from ssm_ops.layer import ConvSSM
from ssm_ops.scan import scan
from ssm_ops.spectrum import BOUNDARIES, Grid
from ssm_ops.transition import Propagator

__all__ = [
    "BOUNDARIES",
    "Affine",
    "Carry",
    "CarryExchange",
    "ConvSSM",
    "Grid",
    "LocalExchange",
    "Propagator",
    "drive",
    "scan",
]
