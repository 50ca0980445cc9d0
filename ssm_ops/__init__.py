"""The convolutional state-space recurrence in frequency space: h_t = A * h_{t-1} + u_t, in any cut of time.

Needs torch, numpy, numba, lazy_loader and jaxtyping's annotations, nothing else of Chronovox. Start with
`reference.py` (the definition), then `scanning.py`. What the package offers stands in `__init__.pyi`; each name is
imported when it is first used, so that those who only pass carries do without torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
