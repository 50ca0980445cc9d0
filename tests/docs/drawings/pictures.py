"""All drawings."""

from __future__ import annotations

from pathlib import Path

from tests.docs.drawings import carry, exchange, kill, volume, waves

FOLDER = Path(__file__).parents[3] / "docs" / "drawings"


def pictures() -> dict[str, str]:
    """The text of each drawing by the name of its file."""
    return {
        "volume.svg": volume.draw(),
        "carry.svg": carry.draw(),
        "waves.svg": waves.draw(),
        "exchange.svg": exchange.draw(),
        "kill.svg": kill.draw(),
    }
