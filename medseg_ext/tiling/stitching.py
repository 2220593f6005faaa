"""Join the objects that tiles give into those of the whole image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from medseg_ext.images.boxes import Box
from medseg_ext.objects.objects import Objects
from medseg_ext.tiling.pixel_store import PixelStore

SAME = 0.5  # part of the smaller of two objects that the other must cover, for them to be one


@dataclass
class _Found:
    """What is known of a number that was given to an object, or to a part of one."""

    box: Box
    area_px: int
    score: float
    cut: bool  # by the end of a region, so that it may go on in the next
    root: int  # the number itself, or one of which it became part


@dataclass(frozen=True)
class Stitched:
    """The objects of a whole image.

    Attributes:
        final_ids: uint32; entry i is the object, 1..N, to which the number i in the store belongs; 0 for 0.
        boxes: of object i + 1.
        scores: float32 (N,), likewise.
    """

    final_ids: np.ndarray
    boxes: list[Box]
    scores: np.ndarray


class Stitcher:
    """Write the objects of tile after tile into one label map, each once, and each with one number.

    A tile answers for the objects that touch its core, and writes them whole, beyond the core as well. One that an
    earlier tile has written is recognised by its place and left as it is. Only what the end of a region has cut grows
    together: an object longer than the margin.

    Args:
        instances: takes the numbers.
        classes: takes the classes.
    """

    def __init__(self, instances: PixelStore, classes: PixelStore) -> None:
        self.instances = instances
        self.classes = classes
        self._found = [_Found(Box(0, 0, 0, 0), 0, 0.0, cut=False, root=0)]  # entry 0 is the background

    def add(self, objects: Objects, *, region: Box, core: Box) -> None:
        """Write the objects of one tile.

        Args:
            objects: those of its region.
            region: what the tile's network saw, in pixels of the image.
            core: the pixels for which the tile answers.

        Raises:
            ValueError: the objects have another size than the region.
        """
        labels = objects.instances[0].cpu().numpy()
        if labels.shape != region.size:
            raise ValueError(f"expected objects of size {region.size}, got {labels.shape}")
        candidates = np.unique(labels[core.inside(region)])
        candidates = candidates[candidates > 0]
        if not len(candidates):
            return
        written = self.instances.read(region)
        scores = objects.scores.cpu().numpy()
        numbers = self._numbers_of(labels, candidates, written, scores, region)
        drawn = np.where(written == 0, numbers[labels], 0)
        self._account(labels, drawn, region)
        self.instances.write(region, np.where(drawn > 0, drawn, written).astype(np.uint32))
        self.classes.write(
            region, np.where(drawn > 0, objects.classes[0].cpu().numpy(), self.classes.read(region)).astype(np.uint8)
        )

    def finish(self) -> Stitched:
        """Number the objects 1..N, in the order in which they were found."""
        final_ids = np.zeros(len(self._found), dtype=np.uint32)
        whole: list[_Found] = []
        for number, found in enumerate(self._found):
            if number == 0 or found.area_px == 0:
                continue
            root = self._root(number)
            if final_ids[root] == 0:
                final_ids[root] = len(whole) + 1
                whole.append(found)
            else:
                place = int(final_ids[root]) - 1
                whole[place] = _joined(whole[place], found)
            final_ids[number] = final_ids[root]
        return Stitched(final_ids, [found.box for found in whole], np.array([f.score for f in whole], dtype=np.float32))

    def _numbers_of(
        self, labels: np.ndarray, candidates: np.ndarray, written: np.ndarray, scores: np.ndarray, region: Box
    ) -> np.ndarray:
        """Decide on a number for each label, 0 for those that are not to be drawn."""
        areas = np.bincount(labels.ravel())
        cut = region.sides_on_border(self.instances.size).others().touched_by(labels)
        overlaps = _overlaps(labels, written)
        areas_written = dict(zip(*np.unique(written, return_counts=True), strict=True))
        numbers = np.zeros(len(areas), dtype=np.uint32)
        for label in candidates.tolist():
            covered = overlaps.get(label, {})
            same = [
                number for number, count in covered.items() if count > SAME * min(areas[label], areas_written[number])
            ]
            growing = [number for number in same if cut[label] or self._found[number].cut]
            if growing:
                numbers[label] = growing[0]
                for number in growing[1:]:
                    self._found[self._root(number)].root = self._root(growing[0])
                self._found[growing[0]].cut |= bool(cut[label])
            elif not same and sum(covered.values()) <= SAME * areas[label]:
                self._found.append(
                    _Found(Box(0, 0, 0, 0), 0, float(scores[label - 1]), cut=bool(cut[label]), root=len(self._found))
                )
                numbers[label] = len(self._found) - 1
        return numbers

    def _account(self, labels: np.ndarray, drawn: np.ndarray, region: Box) -> None:
        """Note area and box of what is drawn; several labels may share a number."""
        visible = np.where(drawn > 0, labels, 0)
        areas = np.bincount(visible.ravel())
        for label, place in enumerate(ndimage.find_objects(visible), start=1):
            if place is None:
                continue
            rows, columns = place
            box = Box(
                region.top + rows.start, region.left + columns.start, region.top + rows.stop, region.left + columns.stop
            )
            number = int(drawn[place][visible[place] == label][0])
            found = self._found[number]
            found.box = box if found.area_px == 0 else found.box.union(box)
            found.area_px += int(areas[label])

    def _root(self, number: int) -> int:
        while self._found[number].root != number:
            number = self._found[number].root
        return number


def _joined(one: _Found, other: _Found) -> _Found:
    area_px = one.area_px + other.area_px
    score = (one.score * one.area_px + other.score * other.area_px) / area_px
    return _Found(one.box.union(other.box), area_px, score, cut=False, root=one.root)


def _overlaps(labels: np.ndarray, written: np.ndarray) -> dict[int, dict[int, int]]:
    """Count the pixels that each label shares with each number, both integers (h, w).

    >>> _overlaps(np.array([[1, 1, 1, 2, 0]], np.int32), np.array([[7, 7, 9, 0, 9]], np.uint32))
    {1: {7: 2, 9: 1}}
    """
    both = (labels > 0) & (written > 0)
    # One joint number a pixel: NumPy finds pairs by sorting them as strings of bytes, which takes sixty times as long.
    base = int(written.max()) + 1
    joint, counts = np.unique(labels[both].astype(np.int64) * base + written[both], return_counts=True)
    overlaps: dict[int, dict[int, int]] = {}
    for label, number, count in zip((joint // base).tolist(), (joint % base).tolist(), counts.tolist(), strict=True):
        overlaps.setdefault(label, {})[number] = count
    return overlaps
