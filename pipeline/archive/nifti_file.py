"""One NIfTI file: what its header declares, how much of that it holds, and its frames when they are needed."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from nibabel.spatialimages import HeaderDataError
from nibabel.volumeutils import apply_read_scaling
from nibabel.wrapstruct import WrapStructError

from pipeline.archive.geometry import check_affine
from pipeline.volume import InputError

MILLIMETRES = {"mm": 1.0, "unknown": 1.0, "meter": 1000.0, "micron": 0.001}
"""How many millimetres the units of space are; a header that names none means millimetres."""

WIDE = (np.int32, np.uint32, np.int64, np.uint64, np.float64, np.longdouble)
"""Types that float32 would round."""

STEP_BYTES = 1 << 16
GZIP = b"\x1f\x8b"
CHECKSUM = ("CRC check failed", "Incorrect length of data")
"""How gzip's errors begin where what was decompressed is not what was compressed."""

DAMAGED = (EOFError, OSError, zlib.error)

MAGIC = {Nifti1Header: slice(344, 348), Nifti2Header: slice(4, 8)}
"""Where a header says that it is one of NIfTI."""

Sizes = tuple[int, int, int, int, int]


@dataclass(frozen=True)
class NiftiFile:
    """A NIfTI file: the axes are x, y, z, t and u, of size 1 where the file has none; a frame is (x, y, z).

    Attributes:
        sizes: The sizes of the five axes.
        stored: The type of the stored numbers, in the file's byte order.
        offset: The byte that the numbers begin at.
        scaling: Slope and intercept, or none where stored numbers are values.
        held: How many whole frames the file has, of the t * u that it declares.
        damage: What is wrong with the file's end; empty where it is whole.
        affine: (4, 4), from (x, y, z) to millimetres.
        step: The step along t as the header has it, and its unit ("sec", "msec", "usec", "hz", .., "unknown").
        start: The first place along t, in that unit.
        intent: What the header says the numbers are for ("none" for most).
        header: What writing the same kind again needs, as plain JSON.
    """

    path: Path
    data_path: Path
    sizes: Sizes
    stored: np.dtype
    offset: int
    scaling: tuple[float, float] | None
    held: int
    damage: str
    affine: np.ndarray
    step: tuple[float, str]
    start: float
    intent: str
    header: dict[str, Any]

    @property
    def dtype(self) -> np.dtype:
        """The type of the values: the stored one, or float32 (float64 for wide ones) where they are scaled."""
        if self.stored.kind == "f" and self.stored.itemsize > 8:
            return np.dtype(np.float64)
        native = self.stored.newbyteorder("=")
        return native if self.scaling is None else np.dtype(np.float64 if native.type in WIDE else np.float32)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Values (x, y, z, t, u) of places [start, stop) along t, for every u; of a damaged file float64, NaN where it
        does not hold them.

        Raises:
            InputError: They cannot be read any more, or are damaged.
        """
        try:
            values = self._salvaged(start, stop) if self.damage else self._proxy()[..., start:stop, :]
        except (*DAMAGED, ValueError) as error:
            raise InputError(
                f"{self.data_path} cannot be read in frames {start} to {stop - 1}: {error}; fetch it again, or take "
                "what can be read (--skip-bad)"
            ) from error
        return values if self.damage else np.asarray(values, self.dtype)

    def _proxy(self) -> ArrayProxy:
        stat = self.data_path.stat()
        return _proxy(
            self.data_path, (stat.st_mtime_ns, stat.st_size), self.sizes, self.stored, self.offset, self.scaling
        )

    def _salvaged(self, start: int, stop: int) -> np.ndarray:
        """Of a damaged file: its stream from the beginning, cut where it breaks; what is missing is NaN."""
        count, frames = prod(self.sizes[:3]), self.sizes[3]
        values = np.full((*self.sizes[:3], stop - start, self.sizes[4]), np.nan, order="F")
        pieces = _pieces(self.data_path)
        content, at = bytearray(), 0
        for number in range(self.held):
            u, t = divmod(number, frames)
            if not start <= t < stop:
                continue
            begin, end = (self.offset + (number + more) * count * self.stored.itemsize for more in (0, 1))
            while at + len(content) < end:
                passed = max(0, min(begin - at, len(content)))
                del content[:passed]
                at += passed
                content += next(pieces)
            frame = np.frombuffer(bytes(content[begin - at : end - at]), self.stored)
            frame = apply_read_scaling(frame, *map(np.float64, self.scaling)) if self.scaling else frame
            values[..., t - start, u] = frame.reshape(self.sizes[:3], order="F")
        return values


def open_file(path: Path, *, whole: bool = True) -> NiftiFile:
    """What a NIfTI file declares and holds.

    Args:
        whole: Whether a compressed file is read through to see how much it holds; without, its header is believed.

    Raises:
        InputError: It is no NIfTI, its header contradicts itself, or it holds no numbers that a volume can have.
    """
    header = _header(path)
    shape = header.get_data_shape()
    if not shape or min(shape) < 1:
        raise InputError(f"{path} declares the sizes {list(shape)}, of which none may be below 1; fetch it again")
    if len(shape) > 5 and max(shape[5:]) > 1:
        raise InputError(f"{path} has {len(shape)} axes, of sizes {list(shape)}; split it so that it has at most five")
    if 3000 <= int(header["intent_code"]) < 3100:
        raise InputError(f"{path} is CIFTI-2 (intent {int(header['intent_code'])}): no volume; convert it to NIfTI")
    stored = header.get_data_dtype()
    if stored.kind not in "iuf":
        raise InputError(
            f"{path} stores {' and '.join(stored.names) if stored.names else stored.name} for each voxel, and a volume "
            "has one real number; split it into files of real numbers"
        )
    sizes = tuple(int(size) for size in (*shape, 1, 1, 1, 1)[:5])
    data_path = path if header["magic"].item().startswith(b"n+") else _image_of(path)
    space, unit = _units(header, path)
    affine, slope, intercept = _placed_and_scaled(header, path)
    affine[:3] *= MILLIMETRES[space]
    check_affine(affine, path)
    offset = int(header.get_data_offset())
    try:
        expected = offset + prod(sizes) * stored.itemsize
        bytes_held, damage = _held(data_path, expected) if whole else (expected, "")
    except OSError as error:
        raise InputError(f"{data_path}, the numbers of {path}, cannot be read: {error}; fetch it again") from error
    pixdim = header["pixdim"]
    start = float(header["toffset"])
    return NiftiFile(
        path=path,
        data_path=data_path,
        sizes=sizes,
        stored=stored,
        offset=offset,
        scaling=None if (slope, intercept) == (1, 0) else (slope, intercept),
        held=min(prod(sizes[3:]), max(0, bytes_held - offset) // (prod(sizes[:3]) * stored.itemsize)),
        damage=damage,
        affine=affine,
        step=(float(str(pixdim[4])), unit),  # 1.35 as it was written, not the float32 next to it
        start=start if np.isfinite(start) else 0.0,
        intent=header.get_intent()[0],
        header=_plain(header) | {"scl_slope": slope, "scl_inter": intercept},
    )


def _header(path: Path) -> Nifti1Header:
    head = b""
    try:
        for piece in _pieces(path):
            head += piece
            if len(head) >= Nifti2Header.sizeof_hdr:
                break
    except DAMAGED as error:
        raise InputError(f"{path} cannot be read as NIfTI: {error}; fetch it again, or leave it out") from error
    if not head:
        raise InputError(f"{path} is empty (0 bytes); fetch it again, or leave it out")
    kind = next((kind for kind in (Nifti1Header, Nifti2Header) if _begins(head, kind.sizeof_hdr)), None)
    if kind is None or head[MAGIC[kind]][:3] not in (b"n+1", b"ni1", b"n+2", b"ni2"):
        raise InputError(
            f"{path} cannot be read as NIfTI: it begins with {head[:8]!r}, which is neither the header of NIfTI-1 "
            f"({Nifti1Header.sizeof_hdr} bytes) nor that of NIfTI-2 ({Nifti2Header.sizeof_hdr}); convert it to NIfTI"
        )
    try:
        return kind(head[: kind.sizeof_hdr])
    except (HeaderDataError, WrapStructError) as error:
        raise InputError(f"{path} cannot be read as NIfTI: {error}; fetch it again, or leave it out") from error


def _begins(head: bytes, size: int) -> bool:
    """Whether a header of `size` bytes is there and begins with its own size, in either order of bytes."""
    return len(head) >= size and size in (int.from_bytes(head[:4], "little"), int.from_bytes(head[:4], "big"))


def _image_of(path: Path) -> Path:
    """The file with the numbers of a header in a file of its own: .img for .hdr, compressed or not."""
    bare = path.with_name(path.name.removesuffix(".gz").removesuffix(".hdr") + ".img")
    packed = bare.with_name(bare.name + ".gz")
    return packed if packed.exists() and not bare.exists() else bare


def _placed_and_scaled(header: Nifti1Header, path: Path) -> tuple[np.ndarray, float, float]:
    """The affine (4 x 4), the slope and the intercept."""
    try:
        affine, (slope, intercept) = np.array(header.get_best_affine(), float), header.get_slope_inter()
    except (HeaderDataError, ValueError) as error:
        raise InputError(f"{path} cannot be read as NIfTI: {error}; mend its header") from error
    return affine, 1.0 if slope is None else float(slope), 0.0 if intercept is None else float(intercept)


@lru_cache(maxsize=32)
def _proxy(
    path: Path,
    version: tuple[int, int],
    sizes: Sizes,
    stored: np.dtype,
    offset: int,
    scaling: tuple[float, float] | None,
) -> ArrayProxy:
    """One open file, so that a compressed one is read on and not from its beginning for each run of frames."""
    del version  # a file that was written again is another one
    return ArrayProxy(str(path), (sizes, stored, offset, *(scaling or (1.0, 0.0))), mmap=False, keep_file_open=True)


def _units(header: Nifti1Header, path: Path) -> tuple[str, str]:
    try:
        return header.get_xyzt_units()
    except KeyError:
        raise InputError(
            f"{path} has the code {int(header['xyzt_units'])} for its units, which NIfTI does not know; write "
            "xyzt_units 10 (millimetres and seconds), or what is right, into its header"
        ) from None


def _held(path: Path, expected: int) -> tuple[int, str]:
    """How many bytes the file holds, decompressed, and what is wrong where that is less than `expected`.

    A compressed file is decompressed for that: its own record of its length is no proof.

    Raises:
        InputError: All is there, and the checksum tells that something in it is not what was written.
    """
    with path.open("rb") as file:
        compressed = file.read(2) == GZIP
        size = file.seek(0, 2)
    if not compressed:
        return size, "" if size >= expected else "it ends early"
    held = 0
    try:
        for piece in _pieces(path):
            held += len(piece)
    except DAMAGED as error:
        if held < expected:
            return held, f"its compressed data break off or are damaged ({error})"
        if str(error).startswith(CHECKSUM):
            raise InputError(
                f"{path} has another checksum than its content: some of it is wrong, unknown which; fetch it again"
            ) from error
    return held, "" if held >= expected else "it ends early"


def _pieces(path: Path) -> Iterator[bytes]:
    """The content of a file, decompressed, piece by piece; every piece before a damage comes before the error."""
    with path.open("rb") as file:
        compressed = file.read(2) == GZIP
    with gzip.open(path) if compressed else path.open("rb") as file:
        while piece := file.read1(STEP_BYTES):
            yield piece


def _plain(header: Nifti1Header) -> dict[str, Any]:
    """What writing the same kind of header again needs: numbers, texts, and none for what is not finite."""

    def number(value: np.generic | np.ndarray) -> float | None:
        return float(value) if np.isfinite(value) else None

    return {
        "version": 2 if header.sizeof_hdr == 540 else 1,
        "dtype": header.get_data_dtype().str,
        "qform_code": int(header["qform_code"]),
        "sform_code": int(header["sform_code"]),
        "quatern": [number(header[name]) for name in ("quatern_b", "quatern_c", "quatern_d")],
        "qoffset": [number(header[name]) for name in ("qoffset_x", "qoffset_y", "qoffset_z")],
        "srow": [[number(value) for value in header[name]] for name in ("srow_x", "srow_y", "srow_z")],
        "pixdim": [number(value) for value in header["pixdim"]],
        "xyzt_units": int(header["xyzt_units"]),
        "toffset": number(header["toffset"]),
        "dim_info": int(header["dim_info"]),
        "slices": [number(header[name]) for name in ("slice_start", "slice_end", "slice_code", "slice_duration")],
        "cal": [number(header[name]) for name in ("cal_min", "cal_max")],
        "intent_code": int(header["intent_code"]),
        "intent_p": [number(header[name]) for name in ("intent_p1", "intent_p2", "intent_p3")],
        "intent_name": _text(header["intent_name"]),
        "descrip": _text(header["descrip"]),
        "aux_file": _text(header["aux_file"]),
    }


def _text(value: np.ndarray) -> str:
    return value.tobytes().split(b"\0")[0].decode("latin-1")
