"""Chunks are written by whoever has them: the bytes that zarr writes, whole or not at all."""

import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, GzipCodec, TransposeCodec, ZstdCodec

from pipeline.storage import atomic, chunk_files, store
from pipeline.storage.blocks import Blocks
from pipeline.storage.fill import fill
from pipeline.storage.manifest import Digest
from pipeline.storage.means import Means
from pipeline.volume import DATA, InputError
from tests.storage.test_store import volume

SHAPE, CHUNKS = (9, 5, 2, 3, 4), (2, 2, 2, 2, 4)
FRAMES = np.random.default_rng(0).standard_normal(SHAPE)
BLOSCS = [
    BloscCodec(),
    BloscCodec(cname="lz4", clevel=1, shuffle="noshuffle"),
    BloscCodec(cname="zstd", clevel=9, shuffle="bitshuffle"),
    BloscCodec(cname="zlib", shuffle="shuffle", blocksize=64, typesize=2),
    BloscCodec(cname="lz4hc", typesize=8),
]


def new(path, codec, dtype="f4", **more):
    more = {"shape": SHAPE, "chunks": CHUNKS, "dtype": dtype, "compressors": codec, "fill_value": 7} | more
    return zarr.create_array(path / DATA, **more)


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("codec", [None, *BLOSCS, ZstdCodec(), ZstdCodec(level=5, checksum=True), GzipCodec()])
@pytest.mark.parametrize("dtype", ["f4", "f8", "i2", "u1"])
def test_the_bytes_are_those_that_zarr_writes(codec, dtype, tmp_path):
    frames = (10 * FRAMES).astype(dtype)
    frames[2:4, :2] = 7  # a chunk of nothing but fill value
    array = new(tmp_path / "zarr", codec, dtype).with_config({"write_empty_chunks": True})
    array[...] = frames
    own = new(tmp_path / "own", codec, dtype)
    assert chunk_files.encoding_of(own) is not None
    for channels in (slice(0, 2), slice(2, 5)):
        for start in range(0, 9, 4):
            store.write_frames(tmp_path / "own", start, frames[start : start + 4, channels], channels.start)
    found, expected = files(tmp_path / "own"), files(tmp_path / "zarr")
    assert len(found) == 1 + 5 * 3 * 1 * 2 * 1
    if isinstance(codec, GzipCodec):  # gzip puts the hour into its head
        found, expected = ({path: content[8:] for path, content in one.items()} for one in (found, expected))
    assert found == expected
    assert np.array_equal(own[...], frames)


@pytest.mark.parametrize(
    "more",
    [
        {"filters": TransposeCodec(order=(4, 3, 2, 1, 0))},
        {"serializer": BytesCodec(endian="big")},
        {"compressors": [ZstdCodec(), Crc32cCodec()]},
    ],
)
def test_what_it_does_not_know_zarr_writes(more, tmp_path):
    array = new(tmp_path, None, **more)
    assert chunk_files.encoding_of(array) is None
    frames = FRAMES.astype("f4")
    digests = store.write_frames(tmp_path, 0, frames)
    assert np.array_equal(array[...], frames)
    assert digests == {key: Digest.of_file(tmp_path / DATA / key) for key in digests}
    assert len(digests) == 5 * 3 * 1 * 2 * 1


def test_a_write_that_fails_leaves_the_old_chunk_and_nothing_else(tmp_path, monkeypatch):
    new(tmp_path, ZstdCodec())
    store.write_frames(tmp_path, 0, FRAMES)
    before = files(tmp_path)

    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr(atomic.os, "replace", full)
    with pytest.raises(OSError, match="no space left"):
        store.write_frames(tmp_path, 0, 0 * FRAMES)
    assert files(tmp_path) == before


@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("damage", ["missing", "torn", "altered"])
def test_what_was_written_and_is_not_there_is_no_fill_value(sharded, damage, tmp_path):
    like = volume(12)
    shape = like[DATA].shape
    blocks = Blocks((2, *shape[1:]), (4 if sharded else 2, *shape[1:]))
    store.create_volumes({None: like}, tmp_path / "v.zarr", {None: blocks})
    list(fill(like, tmp_path / "v.zarr", Means()))
    assert np.array_equal(store.open_volume(tmp_path / "v.zarr", chunked=True)[DATA].values, like[DATA].values)
    file = tmp_path / "v.zarr" / DATA / "c" / "1" / "0" / "0" / "0" / "0"
    content = file.read_bytes()
    changed = {"missing": None, "torn": content[:9], "altered": bytes(len(content))}[damage]
    file.unlink() if changed is None else file.write_bytes(changed)
    with pytest.raises(InputError, match=r"frames \d to \d of .* are (missing|damaged).*chronovox repair"):
        store.open_volume(tmp_path / "v.zarr", chunked=True)[DATA].load()
