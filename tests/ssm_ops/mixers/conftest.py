"""The fields of these tests are too small for two threads, which would wait for each other."""

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread(fixed_threads):
    del fixed_threads
    torch.set_num_threads(1)
