"""What later frames leave of themselves, for models that look both ways: a walk from the last chunk to the first.

A model that looks both ways forgets what is behind a shard as it does what is before: by its carries. Who knows these
can do any shard alone, as if the model had seen all frames. One process walks; the shards are then done in parallel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.model import Forecaster
from ssm_ops import LocalExchange, drive
from ssm_ops.carry import Carry


@torch.no_grad()
def carries_behind(
    model: Forecaster,
    chunks: Sequence[tuple[int, int]],
    read: Callable[[int, int], Float[Tensor, "time read depth height width"]],
    steps: Callable[[int, int], Float[Tensor, "time"] | None],
) -> dict[int, list[Carry]]:
    """What comes from behind each chunk, by the frame at which the chunk stops; nothing comes from behind the last.

    With it chunks can be gone through in order, each alone, as if the model had seen all frames. Held are the carries
    of all chunks, and one chunk's frames.

    Args:
        model: One that is bidirectional.
        chunks: The frames [start, stop) of each, in order, without gaps.
        read: The frames [start, stop) that the model reads.
        steps: The times from the frame before to the frames [start, stop), where one beyond the last is 1; `None`
            where all are 1.
    """
    exchange, found = LocalExchange(), {}
    for start, stop in reversed(chunks[1:]):
        later = steps(start + 1, stop + 1)
        drive(model.mirrored([read(start, stop)], None if later is None else [later]), exchange)
        found[start] = exchange.next_shard()
    return found
