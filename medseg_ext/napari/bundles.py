"""List bundles to choose from."""

from __future__ import annotations

from pathlib import Path

from medseg_ext.bundle.find import describe_recommendation, find_bundles


def bundle_choices() -> list[tuple[str, Path]]:
    """List the bundles that `medseg segment` finds: what to show of each, and its folder; those to begin with first."""
    told = {name: (describe_recommendation(folder), folder) for name, folder in find_bundles().items()}
    return [
        (f"{name} ({recommended})" if recommended else name, folder)
        for name, (recommended, folder) in sorted(told.items(), key=_rank)
    ]


def _rank(bundle: tuple[str, tuple[str, Path]]) -> tuple[int, str]:
    name, (recommended, _) = bundle
    return (0 if "begin with" in recommended else 1 if recommended else 2), name
