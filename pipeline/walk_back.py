"""The walk from the last shard to the first that `infer` makes for a model that looks both ways.

One process makes it; it leaves the carries that come from behind each shard. Shards then are done in parallel.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from pipeline.carried import CarryIndex, to_device
from pipeline.checkpoint import Checkpoint
from pipeline.device import own_resources
from pipeline.forecast import Series, Strand
from pipeline.model import exchanges
from pipeline.progress import Progress, Steps
from pipeline.storage import store
from ssm_ops import LocalExchange, drive


def write_carries_behind(
    checkpoint: Path, prepared: Path, strands: Sequence[Strand], index: Path, threads: int
) -> Steps:
    """Writes the carries that come from behind each shard but the last of each strand, where they are not there yet.

    They lie in a `CarryIndex` whose shards are counted from the last. A walk that was killed goes on where it was.
    """
    device, loaded, carries = own_resources(threads), Checkpoint.load(checkpoint), CarryIndex(index)
    model = loaded.best_model().to(device)
    carries.prepare([strand.name for strand in strands])
    done, total = 0, sum(len(strand.shards) - 1 for strand in strands)
    for strand in strands:
        series = Series.of(store.open_volume(prepared, strand.series), model, loaded.channels)
        exchange, shards = LocalExchange(), list(reversed(strand.shards))
        for number, shard in enumerate(shards[:-1], start=1):
            if carries.has(strand.name, number):
                entering = [carries.read(strand.name, number, point) for point in range(exchanges(model.settings))]
                exchange = LocalExchange([to_device(carry, device) for carry in entering])
            else:
                chunks = [
                    series.roles.inputs(torch.from_numpy(store.read_frames(prepared, strand.series, a, b))).to(device)
                    for a, b in shard.chunks()
                ]
                with torch.no_grad():
                    drive(model.mirrored(chunks, series.steps_of(shard, device, later=True)), exchange)
                left = [carry.cpu().numpy() for carry in exchange.next_shard()]
                carries.write(strand.name, number, len(shards), left)
            done += 1
            yield Progress(done, total, f"from the last frame back, series {strand.series}")
