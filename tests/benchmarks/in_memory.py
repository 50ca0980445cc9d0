"""A worker of the scan command whose frames are in memory and whose results go nowhere: computing and stitching alone."""

from dataclasses import dataclass

import numpy as np
import torch

from pipeline.filter import FilterWorker, Sequence4D
from ssm_ops import scan
from ssm_ops.carry import ASK, LATER


@dataclass
class Left:
    """The carry that a plain scan left, whatever entered."""

    carry: np.ndarray
    forgets: bool = False
    nbytes: int = 0

    def __call__(self, carry):
        return self.carry


class InMemory(FilterWorker):
    """Two different shards in turn; tells the last frame of each shard. Whoever has all shards scans them plainly."""

    def __init__(self, sequence: Sequence4D):
        super().__init__(sequence)
        shard, noise = sequence.shards[0], np.random.default_rng(0)
        shape = (shard.stop - shard.start, *sequence.shape[1:2], *sequence.grid_shape)
        self.frames = [noise.standard_normal(shape, np.float32) for _ in range(2)]
        self.last: dict = {}

    def expect(self, places):
        super().expect(places)
        self.plain = len(places) == len(self.sequence.shards) * len(self.sequence.parts)

    def program(self, place):
        if not self.plain:
            return super().program(place)
        return self._plainly(place)

    def _plainly(self, place):
        part, sequence = self.sequence.parts[place.strand], self.sequence
        x = torch.from_numpy(self.reader.take(place.index)[:, part])
        carry = yield ASK
        assert carry is not LATER
        entering = None if carry is None else torch.from_numpy(carry)
        with self.clock("computing"):
            states, left = scan(
                x, sequence.transition, boundary=sequence.boundary, carry=entering, backend="spectral"
            )
        yield Left(left.numpy())
        self.last[place] = states[-1].numpy().copy()
        return lambda _: None

    def _read(self, index):
        return self.frames[index % 2][:, self.channels]

    def _write(self, place, states, leaving):
        self.last[place] = states[-1].reshape(-1, *self.sequence.grid_shape).copy()

    def entering_carry(self, place, point):
        return None

    def report(self):
        """Seconds by activity since the last report, and the last frames."""
        seconds, self.clock._seconds = self.clock.seconds(), type(self.clock._seconds)()
        last, self.last = self.last, {}
        return seconds, last
