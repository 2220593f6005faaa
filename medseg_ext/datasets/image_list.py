"""List images for inference."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import nullcontext
from itertools import chain, count
from pathlib import Path, PurePath

from medseg_ext.addresses import PathLike, naming_path, place, shown
from medseg_ext.datasets.images_at import images_at
from medseg_ext.datasets.passed_over import FOLDERS, OTHERS, some, tell, without_labels, without_results
from medseg_ext.errors import DataError
from medseg_ext.files import LONGEST_ID_BYTES, file_key, told_if_unreadable
from medseg_ext.images.formats import FORMAT_NAMES, image_stem, is_image_file
from medseg_ext.images.ome_zarr import is_ome_zarr


def fitting_id(name: str) -> str:
    """Shorten a name to which no ending could be added; a hash of the whole keeps it apart from others.

    >>> fitting_id("a")
    'a'
    >>> fitting_id("a" * 250) == "a" * 211 + "-" + hashlib.sha256(b"a" * 250).hexdigest()[:8]
    True
    """
    data = name.encode(errors="surrogateescape")
    readable = data.decode(errors="ignore")  # names of other systems may hold bytes that are no text
    if readable == name and len(data) <= LONGEST_ID_BYTES:
        return name
    end = f"-{hashlib.sha256(data).hexdigest()[:8]}"
    return readable.encode()[: LONGEST_ID_BYTES - len(end)].decode(errors="ignore") + end


# How files are named to tell them apart, the shortest first.
NAMINGS: tuple[Callable[[PurePath], str], ...] = (
    image_stem,
    lambda file: file.name,
    lambda file: f"{file.parent.name}_{image_stem(file)}",
    lambda file: f"{file.parent.name}_{file.name}",
)


def list_images(path: PathLike | Sequence[PathLike], *, recursive: bool = False) -> list[dict[str, str]]:
    """List images for inference.

    Args:
        path: an image, or a folder of images, or the address of one, see `medseg_ext.datasets.images_at`. Or several.
        recursive: look in the folders inside folders, too, hidden ones left out, each once however links lead there.
    Returns: in the order of `path`, those of a folder sorted by name, none twice, before those of folders inside it;
        for each its absolute path, or what stands for its address, under `image`, and a unique name under `id`: the
        file's without suffix; with suffix where two would be alike, in other letters' case too, as macOS and Windows
        take such names for one; with the folder's before it where the suffix is the same, too; with a number after it
        as the last resort; shortened where no file could have it with an ending.
        What else a folder holds is logged as passed over, but for hidden files; so are labels of its images, and what
        an earlier segmentation has written into it.
    Raises: DataError: nothing there, or nothing that may be looked into; no file of a format that can be read.
    """
    paths = [path] if isinstance(path, (str, os.PathLike)) else path
    if not paths:
        raise DataError("dataset_dir is an empty list: give it an image or a folder of images")
    _refuse_one_name_for_several(paths)
    found: list[Path | str] = []
    for each in map(place, paths):
        found += (
            images_at(each, recursive=recursive) if isinstance(each, str) else _images_in(each, recursive=recursive)
        )
    images = list(dict.fromkeys(found))
    ids = map(fitting_id, _unique_names([naming_path(each) for each in images]))
    return [{"image": str(file), "id": name} for file, name in zip(images, ids, strict=True)]


def _refuse_one_name_for_several(given: Sequence[PathLike]) -> None:
    wholes = dict.fromkeys(os.fspath(each) for each in given if isinstance(place(each), str))
    first: dict[str, str] = {}
    for each in wholes:
        if first.setdefault(shown(each), each) != each:
            raise DataError(
                f"{shown(each)} is given twice, with different users or queries (what follows ?), which are kept in no "
                "file: give each in a run of its own, with a folder of its own"
            )


def _images_in(path: Path, *, recursive: bool) -> list[Path]:
    with told_if_unreadable(path):
        if not path.exists():
            raise DataError(f"{path} does not exist: give an image or a folder of images")
    if recursive and _is_plain_folder(path):
        images = [file for folder in _folders_in(path) for file in _images_of(folder, tells_folders=False)]
        if not images:
            raise DataError(f"{path} and the folders inside it hold no image: give {FORMAT_NAMES} files")
        return _without_labels(images, path)
    images = _images_of(path, tells_folders=True)
    if not images:
        is_folder = path.is_dir()
        found = (
            "holds no image" if is_folder and any(path.iterdir()) else "is empty" if is_folder else "is not an image"
        )
        raise DataError(f"{path} {found}: give {FORMAT_NAMES} files{_hint_at_folders(path) if is_folder else ''}")
    return images if images == [path] else _without_labels(images, path)


def _without_labels(images: Sequence[Path], folder: Path) -> list[Path]:
    names = [file.relative_to(folder).as_posix() for file in images]
    return [folder / name for name in without_labels(names, folder)]


def _folders_in(path: Path) -> Iterator[Path]:
    """Yield a folder and those inside it, but for hidden ones, in order of their names."""
    seen: set[Path] = set()
    pending = [path]
    while pending:
        folder = pending.pop()
        place = folder.resolve()
        if place in seen:  # a link that leads back
            continue
        seen.add(place)
        yield folder
        with told_if_unreadable(folder):
            inside = sorted(
                each for each in folder.iterdir() if _is_plain_folder(each) and not each.name.startswith(".")
            )
        pending += reversed(inside)


def _hint_at_folders(path: Path) -> str:
    """Name the folders that hold images, of one that holds none itself."""
    with_images = [
        folder.name for folder in sorted(path.iterdir()) if _is_plain_folder(folder) and _holds_an_image(folder)
    ]
    if not with_images:
        return ""
    return f"; its folders {some(with_images)} hold some: give these, or --recursive (a config's key: --recursive True)"


def _is_plain_folder(path: Path) -> bool:
    """Say whether a path is a folder, and no image itself."""
    return path.is_dir() and not is_ome_zarr(path)


def _holds_an_image(folder: Path) -> bool:
    try:
        return any(is_image_file(file, chosen=False) for file in folder.iterdir())
    except OSError:  # not to be looked into
        return False


def _images_of(path: Path, *, tells_folders: bool) -> list[Path]:
    """List the images of a folder, without those in folders inside it, or the one image; log what is passed over."""
    with told_if_unreadable(path):
        inside = sorted(path.iterdir()) if _is_plain_folder(path) else [path]
        images = [file for file in inside if is_image_file(file, chosen=file == path)]
    if not images:
        return []
    taken = set(images)
    others = [file for file in inside if file not in taken and not file.name.startswith(".")]
    tell(path, OTHERS, [file.name for file in others if not file.is_dir()])
    tell(path, FOLDERS, [file.name for file in others if file.is_dir() and tells_folders], remedy=" (--recursive)")
    if images == [path]:
        return images
    names = {file.name for file in inside}
    left = without_results(
        [file.name for file in images], path, names, lambda name: nullcontext(path / name), is_all=tells_folders
    )
    return [path / name for name in left]


def _unique_names(files: Sequence[PurePath]) -> list[str]:
    """Give each file the first of `NAMINGS` that tells it from all others."""
    steps = [0] * len(files)
    while True:  # more than one turn when a full name, such as a.png, is the stem of another file, a.png.tif
        names = [NAMINGS[step](file) for step, file in zip(steps, files, strict=True)]
        alike = defaultdict(list)
        for position, name in enumerate(names):
            alike[file_key(name)].append(position)
        before = list(steps)
        for group in (each for each in alike.values() if len(each) > 1):
            for step in range(max(steps[each] for each in group), len(NAMINGS)):
                if len({file_key(NAMINGS[step](files[each])) for each in group}) == len(group):
                    for each in group:
                        steps[each] = step
                    break
        if steps == before:
            return _numbered(names)


def _numbered(names: Sequence[str]) -> list[str]:
    """Put numbers after names that are there already: folders of one name hold files of one name."""
    taken = set(map(file_key, names))
    given: set[str] = set()
    unique: list[str] = []
    for name in names:
        numbered = (f"{name}_{number}" for number in count(2))
        unique.append(next(each for each in chain([name], numbered) if _is_free(each, name, taken, given)))
        given.add(file_key(unique[-1]))
    return unique


def _is_free(name: str, own: str, taken: Set[str], given: Set[str]) -> bool:
    """Say whether a name is given to no file yet, nor that of another."""
    key = file_key(name)
    return key not in given and (name == own or key not in taken)
