"""What compresses a store: by name, as zarr has it, and as numcodecs has it, which does the work."""

from __future__ import annotations

import difflib

import numcodecs
from numcodecs import Blosc, GZip, Zstd
from numcodecs.abc import Codec
from zarr.abc.codec import BytesBytesCodec
from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec
from zarr.codecs import numcodecs as wrapped

from pipeline.volume import InputError

SHUFFLES = {"noshuffle": Blosc.NOSHUFFLE, "shuffle": Blosc.SHUFFLE, "bitshuffle": Blosc.BITSHUFFLE}
BLOSC = ("lz4", "lz4hc", "zstd", "zlib", "blosclz")
OTHERS = {"lz4": wrapped.LZ4, "zlib": wrapped.Zlib, "bz2": wrapped.BZ2, "lzma": wrapped.LZMA}
NAMES = ("none", "zstd", "gzip", *(f"blosc-{name}" for name in BLOSC), *OTHERS)
LEVELS = dict.fromkeys(NAMES, (0, 9)) | {"none": (0, 0), "zstd": (-7, 22), "lz4": (1, 65537), "bz2": (1, 9)}
"""The lowest and the highest level."""
KEYS = {"lz4": "acceleration", "lzma": "preset"}
"""What numcodecs calls the level, where it does not call it so."""
DEFAULT = "blosc-lz4"
"""Within some per cent of the size that zstd gives fields of floats, in a third of the time, and read in a third."""


def named(text: str, itemsize: int) -> tuple[BytesBytesCodec, ...]:
    """The compressors that NAME or NAME:LEVEL stands for, for numbers of `itemsize` bytes; none for `none`.

    Names with `blosc-` sort the bytes of numbers by their place first, which floats need.

    Raises:
        InputError: There is no such name, or no such level.
    """
    name, _, level = text.partition(":")
    if name not in NAMES:
        near = difflib.get_close_matches(name, NAMES, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise InputError(f"no compressor {name!r}; {hint}there are {', '.join(NAMES)}, with a level as in zstd:5")
    low, high = LEVELS[name]
    if level and (name == "none" or not level.lstrip("-").isdigit() or not low <= int(level) <= high):
        has = "has no level" if name == "none" else f"has the levels {low} to {high}, as in {name}:{min(5, high)}"
        raise InputError(f"compressor {text!r}: {name} {has}")
    return _made(name, {"level": int(level)} if level else {}, itemsize)


def _made(name: str, given: dict[str, int], itemsize: int) -> tuple[BytesBytesCodec, ...]:
    if name == "none":
        return ()
    if name == "zstd":
        return (ZstdCodec(**given),)
    if name == "gzip":
        return (GzipCodec(**given),)
    if name in OTHERS:
        return (OTHERS[name](**{KEYS.get(name, key): level for key, level in given.items()}),)
    cname, clevel = name.removeprefix("blosc-"), given.get("level", 5 if name == "blosc-lz4" else 1)
    return (BloscCodec(cname=cname, clevel=clevel, shuffle="shuffle", typesize=itemsize),)


def encoder(codec: object) -> Codec | None:
    """A codec of zarr's as numcodecs has it, which gives the same bytes; `None` where it does not know it."""
    if isinstance(codec, BloscCodec):
        shuffle = SHUFFLES[codec.shuffle.value]
        return Blosc(codec.cname.value, codec.clevel, shuffle, codec.blocksize, typesize=codec.typesize)
    if isinstance(codec, ZstdCodec):
        return Zstd(codec.level, codec.checksum)
    if isinstance(codec, GzipCodec):
        return GZip(codec.level)
    if isinstance(codec, tuple(OTHERS.values())):
        told = codec.to_dict()
        return numcodecs.get_codec({"id": told["name"].removeprefix("numcodecs."), **told["configuration"]})
    return None
