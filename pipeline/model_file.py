"""A trained model as one safetensors file and back: what inference needs, in a form that other programs read.

Tensors `weights.NAME` are the weights that did best on the validation frames, under the names of the model's state;
tensors `statistics.NAME` are what normalises its frames. All the rest is JSON in one entry of the metadata: one, since
the format does not keep several in order, and the same model shall be the same bytes. The file holds no code.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from pipeline.checkpoint import Checkpoint
from pipeline.storage.atomic import write_bytes
from pipeline.volume import InputError

ENTRY, FORM = "chronovox_model", 2
KEPT = ("step", "description", "best_error", "learned_from", "channels")
"""The fields of a checkpoint that are told in JSON."""


def export_model(path: Path, destination: Path, *, overwrite: bool = False) -> str:
    """Writes the model of a checkpoint as a safetensors file, which appears whole; returns what it holds, in words.

    Args:
        path: The checkpoint.
        overwrite: Whether a file that is there is replaced.

    Raises:
        InputError: There is no such checkpoint, it is damaged, or the destination is there or is no such file's name.
    """
    if destination.suffix != ".safetensors":
        raise InputError(f"{destination} ends in {destination.suffix or 'nothing'}; give a name that ends .safetensors")
    if destination.is_dir() or (destination.exists() and not overwrite):
        raise InputError(f"{destination} is there already; choose another name, or replace it (--overwrite)")
    checkpoint = Checkpoint.load(path)
    named = {f"weights.{name}": array for name, array in checkpoint.best.items()}
    named |= {f"statistics.{name}": array for name, array in checkpoint.statistics.items()}
    told = {"form": FORM} | {name: getattr(checkpoint, name) for name in KEPT}
    ordered = {name: np.ascontiguousarray(named[name]).reshape(named[name].shape) for name in sorted(named)}
    write_bytes(destination, save(ordered, metadata={ENTRY: json.dumps(told, sort_keys=True)}))
    return _in_words(destination, checkpoint)


def import_model(path: Path, destination: Path) -> str:
    """Makes a checkpoint for inference of a file that `export_model` wrote; returns what it holds, in words.

    It forecasts to the same bits. What training would need to go on, the optimiser's state among it, is not in it.

    Args:
        path: The file.
        destination: The store to be made; it appears whole.

    Raises:
        InputError: There is no such file, it cannot be read or holds no such model, or the destination is there.
    """
    if destination.exists():
        raise InputError(f"{destination} is there already; remove it, or choose another name")
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            named = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no mapping
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"{path} cannot be read as a safetensors file: {error}; give one that export-model wrote"
        ) from error
    if ENTRY not in metadata:
        raise InputError(
            f"{path} has no {ENTRY} in its metadata, only {', '.join(sorted(metadata)) or 'nothing'}; give a file that "
            "export-model wrote"
        )
    try:
        told = json.loads(metadata[ENTRY])
        form, kept = told["form"], {name: told[name] for name in KEPT} if told["form"] == FORM else {}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} cannot be read: its {ENTRY} is damaged ({type(error).__name__}, {error}); export the model anew"
        ) from error
    if form != FORM:
        raise InputError(f"{path} is of form {form}, and form {FORM} is read; export the model anew")

    def group(prefix: str) -> dict[str, np.ndarray]:
        return {k.removeprefix(prefix): v for k, v in named.items() if k.startswith(prefix)}

    checkpoint = Checkpoint(
        weights={},
        optimiser={},
        best=group("weights."),
        statistics=group("statistics."),
        **kept,
    )
    try:
        checkpoint.best_model()
    except (RuntimeError, ValueError, KeyError, TypeError) as error:  # which weights or settings are missing or others
        raise InputError(f"{path} does not fit its own description: {error}; export the model anew") from error
    checkpoint.save(destination)
    return _in_words(destination, checkpoint)


def _in_words(path: Path, checkpoint: Checkpoint) -> str:
    count = sum(array.size for array in checkpoint.best.values())
    return (
        f"{path}: {count} weights in {len(checkpoint.best)} arrays, the best of {checkpoint.step} steps "
        f"(validation error {checkpoint.best_error:.4g}), {len(checkpoint.statistics)} statistics"
    )
