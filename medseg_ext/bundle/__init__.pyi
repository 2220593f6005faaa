from .array_segmentation import ArraySegmenter
from .export import export_bundle
from .find import find_bundle
from .given import given_overrides, write_provenance
from .monai_command_line import (
    config_files,
    end_with_failed_images,
    end_with_the_cause,
    find_bundle_root,
    refuse_unknown_overrides,
)
from .render import RenderError, merge_fragments, read_recipes, render_all, stale_files, stray_files
from .segmentation import segment
from .settings import settle
from .ship import ship_weights
from .trust import trusting
from .values import OverrideError
from .verbatim import Verbatim

__all__ = [
    "ArraySegmenter",
    "OverrideError",
    "RenderError",
    "Verbatim",
    "config_files",
    "end_with_failed_images",
    "end_with_the_cause",
    "export_bundle",
    "find_bundle",
    "find_bundle_root",
    "given_overrides",
    "merge_fragments",
    "read_recipes",
    "refuse_unknown_overrides",
    "render_all",
    "segment",
    "settle",
    "ship_weights",
    "stale_files",
    "stray_files",
    "trusting",
    "write_provenance",
]
