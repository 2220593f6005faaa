"""List bundles to choose from."""

from __future__ import annotations

from pathlib import Path

from medseg_ext.bundle.find import describe_recommendation, find_bundles


def bundle_choices() -> list[tuple[str, Path]]:
    """List the bundles that `medseg segment` finds: what to show of each, and its folder; recommended ones first."""
    told = {name: (describe_recommendation(folder), folder) for name, folder in find_bundles().items()}
    return [
        (f"{name} ({recommended})" if recommended else name, folder)
        for name, (recommended, folder) in sorted(told.items(), key=lambda each: (not each[1][0], each[0]))
    ]
