"""Python and packages against what the installed distribution asks for; extras; torch against the GPUs."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from workflows.doctor.finding import Finding, failed, ok, warning

DISTRIBUTION = "chronovox"

FOR_DEVELOPERS = ("test", "bench")
"""Extras that nobody needs who runs recipes."""

SMI_SECONDS = 10.0

Installed = Callable[[str], str | None]
"""The version of a distribution that is installed; `None` where none is."""


def installed(name: str) -> str | None:
    """The version of a distribution."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


@dataclass(frozen=True)
class Asked:
    """What a distribution asks for.

    Attributes:
        python: Versions of Python, as in `>=3.11`; empty where any will do.
        packages: What it needs.
        extras: What each extra needs.
    """

    python: str
    packages: tuple[Requirement, ...]
    extras: Mapping[str, tuple[Requirement, ...]]


def asked(name: str = DISTRIBUTION) -> Asked | None:
    """What an installed distribution asks for on this machine; `None` where it is not installed, or says nothing."""
    try:
        lines, told = metadata.requires(name), metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return None
    return parsed(lines or [], told.get("Requires-Python") or "", told.get_all("Provides-Extra") or [])


def parsed(lines: Sequence[str], python: str, extras: Sequence[str]) -> Asked:
    """Lines of metadata (PEP 508) whose markers hold here, apart for each extra; extras of extras are left out."""
    every = [one for one in map(Requirement, lines) if one.name != DISTRIBUTION]
    plain = [one for one in every if one.marker is None or one.marker.evaluate({"extra": ""})]
    found = {
        extra: tuple(
            one
            for one in every
            if one not in plain and one.marker is not None and one.marker.evaluate({"extra": extra})
        )
        for extra in extras
        if extra not in FOR_DEVELOPERS
    }
    return Asked(python, tuple(plain), found)


def python_version(found: str, wanted: Asked | None) -> Finding:
    """Python itself."""
    if wanted is None or not wanted.python or SpecifierSet(wanted.python).contains(found, prereleases=True):
        return ok("python", found)
    return failed("python", f"{found}, and {wanted.python} is wanted", "make an environment with such a Python")


def packages(wanted: Asked | None, version: Installed) -> Iterator[Finding]:
    """The packages that are always needed, those that do not fit one by one."""
    if wanted is None:
        yield warning(
            "packages",
            f"{DISTRIBUTION} is not installed as a package, so what it asks for is not known",
            "pip install -e . in its folder",
        )
        return
    misfits = [one for one in wanted.packages if not fits(one, version)]
    for one in misfits:
        name = f"package {one.name}"
        yield failed(
            name, f"{version(one.name) or 'not installed'}, wanted {one.specifier}", f"pip install '{bare(one)}'"
        )
    yield ok("packages", f"{len(wanted.packages) - len(misfits)} of {len(wanted.packages)} within their bounds")


def extras(wanted: Asked | None, version: Installed) -> Iterator[Finding]:
    """What is not always needed: what is there, and what would bring the rest."""
    for extra, needs in (wanted.extras if wanted is not None else {}).items():
        line = f"pip install '{DISTRIBUTION}[{extra}]'"
        lacking = [one.name for one in needs if version(one.name) is None]
        odd = [one for one in needs if one.name not in lacking and not fits(one, version)]
        if odd:
            told = ", ".join(f"{one.name} {version(one.name)}, wanted {one.specifier}" for one in odd)
            yield warning(f"extra {extra}", told, line)
        elif lacking:
            yield ok(f"extra {extra}", f"not installed: {', '.join(lacking)}", f"if you need it: {line}")
        else:
            yield ok(f"extra {extra}", ", ".join(f"{one.name} {version(one.name)}" for one in needs))


def fits(one: Requirement, version: Installed) -> bool:
    """Whether a package is there, in a version within the bounds."""
    found = version(one.name)
    return found is not None and one.specifier.contains(found, prereleases=True)


def bare(one: Requirement) -> str:
    """A requirement without its marker, as pip takes it."""
    named = f"[{','.join(sorted(one.extras))}]" if one.extras else ""
    return f"{one.name}{named}{one.specifier}"


@dataclass(frozen=True)
class Gpus:
    """The GPUs that the driver knows.

    Attributes:
        names: One each.
        cuda: The newest CUDA that the driver runs, as in `12.8`; empty where it was not told.
    """

    names: tuple[str, ...]
    cuda: str = ""


def gpus() -> Gpus | None:
    """What nvidia-smi tells; `None` where there is no driver.

    Raises:
        subprocess.SubprocessError: It is there and does not answer.
    """
    try:
        listed = _smi("-L")
    except FileNotFoundError:
        return None
    return of_smi(listed, _smi())


def of_smi(listed: str, told: str) -> Gpus:
    """GPUs from the output of `nvidia-smi -L` and of `nvidia-smi`."""
    names = re.findall(r"^GPU \d+: (.+?)(?: \(UUID.*)?$", listed, re.MULTILINE)
    cuda = re.search(r"CUDA Version: *([\d.]+)", told)
    return Gpus(tuple(names), cuda[1] if cuda else "")


def _smi(*arguments: str) -> str:
    done = subprocess.run(["nvidia-smi", *arguments], capture_output=True, text=True, timeout=SMI_SECONDS, check=False)
    return done.stdout


@dataclass(frozen=True)
class Torch:
    """A build of torch.

    Attributes:
        version: As in `2.13.0+cpu`.
        cuda: The CUDA that it was built with; empty for none.
        devices: How many GPUs it can use.
    """

    version: str
    cuda: str = ""
    devices: int = 0


def torch_here() -> Torch:
    """The torch that is installed."""
    import torch

    return Torch(torch.__version__, torch.version.cuda or "", torch.cuda.device_count())


def torch_and_gpus(torch: Torch, found: Gpus | None) -> Finding:
    """Whether torch can use the GPUs that are there."""
    build = f"torch {torch.version}"
    if found is None or not found.names:
        return ok("gpu", f"{build}; {'no NVIDIA driver' if found is None else 'no GPU'}: work is done by CPUs")
    there = f"{len(found.names)} x {found.names[0]}" + (f", driver for CUDA {found.cuda}" if found.cuda else "")
    if torch.devices:
        return ok("gpu", f"{build} uses {torch.devices} of {there}")
    number = torch.version.partition("+")[0]
    if not torch.cuda:
        newest = f"cu{found.cuda.replace('.', '')}" if found.cuda else "cu and the digits of your CUDA"
        return failed(
            "gpu",
            f"{there}, and {build} is built without CUDA",
            f"pip install 'torch=={number}' --index-url https://download.pytorch.org/whl/{newest} (or an older one "
            "that is there: a driver runs what was built for its CUDA or an earlier one)",
        )
    return failed(
        "gpu",
        f"{there}, and {build}, built for CUDA {torch.cuda}, finds none of them",
        "look whether the driver is older than that CUDA, whether CUDA_VISIBLE_DEVICES hides them, and whether a "
        "container was started with --gpus all",
    )
