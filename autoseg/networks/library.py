"""MONAI, for networks that are too large to be written again; imported when one is built."""

from __future__ import annotations

from typing import Any

from autoseg.errors import ResourceError


def monai_networks(wanted_by: str) -> Any:
    """Return the module `monai.networks.nets`; raise ResourceError where it is not installed."""
    try:
        import einops  # noqa: F401  MONAI's transformers ask for it when they are built
        from monai.networks import nets
    except ImportError as error:
        fact = f"{wanted_by} needs the package {error.name or 'monai'}"
        raise ResourceError(fact, remedy="pip install 'autoseg[networks]'") from error
    return nets
