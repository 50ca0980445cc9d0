from .affine import IDENTITY, Affine, chain_prefix, tree_prefix
from .carry import Carry, CarryExchange, LocalExchange, drive
from .convolution import convolve_in_time
from .families import learned_family
from .layer import ConvSSM
from .learned import LearnedKernel, LearnedPointwise, LearnedPropagator, SelectiveSteps
from .padding import wraparound
from .pixel import step
from .ranks import sharded_scan
from .scanning import bidirectional, final_carry, scan
from .spectrum import BOUNDARIES, Grid
from .time_parallel import TimeExchange, exchanged, time_parallel_scan
from .transition import Kernel, Pointwise, Propagator, Transition
from .verify import Certificate, stability_margin, verify_scan

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
