"""Gather the pages of the site, under the paths that they have in the repository. MkDocs calls it: see `mkdocs.yml`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

OUTSIDE = ("*.md", "LICENSE", "CITATION.cff", "bundles/*/docs/*", "bundles/*/LICENSE", "medseg_ext/deploy/README.md")
CARDS = "bundles/*/docs/README.md"
MODELS = "Models"  # the part of the navigation that gets the cards


def on_config(config: Any) -> Any:
    """Add each bundle's card, and its training log where there is one, to the navigation."""
    root = Path(config.config_file_path).parent
    (models,) = (part[MODELS] for part in config.nav if MODELS in part)
    for card in sorted(root.glob(CARDS)):
        log = card.with_name("training_log.md")
        pages: list[Any] = [card.relative_to(root).as_posix()]
        if log.is_file():
            pages.append({"How it was trained": log.relative_to(root).as_posix()})
        models.append({card.parents[1].name: pages})
    return config


def on_files(files: Files, config: Any) -> Files:
    """Put the files of `docs` below `docs/`, and beside them those that lie elsewhere in the repository."""
    root, docs = Path(config.config_file_path).parent, Path(config.docs_dir)
    kept = [file for file in files if file.src_dir != config.docs_dir]  # the theme's
    found = [docs / file.src_uri for file in files if file.src_dir == config.docs_dir]
    found += [path for pattern in OUTSIDE for path in sorted(root.glob(pattern)) if path.is_file()]
    placed = [
        File(path.relative_to(root).as_posix(), str(root), config.site_dir, config.use_directory_urls) for path in found
    ]
    return Files([*kept, *placed])
