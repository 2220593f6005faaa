"""Making and running of bundles: rendering of fragments, checks of the command line."""

from medseg_ext.bundle.command_line import OverrideError, end_with_the_cause, find_bundle_root, refuse_unknown_overrides
from medseg_ext.bundle.render import (
    RenderError,
    merge_fragments,
    read_recipes,
    render_all,
    render_bundle,
    stale_files,
    stray_files,
)

__all__ = [
    "OverrideError",
    "RenderError",
    "end_with_the_cause",
    "find_bundle_root",
    "merge_fragments",
    "read_recipes",
    "refuse_unknown_overrides",
    "render_all",
    "render_bundle",
    "stale_files",
    "stray_files",
]
