"""Tell by a TIFF's directories whether the file is cut short."""

from __future__ import annotations

import math
import struct

import tifffile

_FIRST_PRIVATE_TAG = 32768  # of which some programs write no sense


def missing_of(tiff: tifffile.TiffFile) -> str | None:
    """Say what of an open TIFF lies beyond its end, or was never written and is zeros; None where nothing does.

    Each directory tells where the next one is, and the last one that there is none. Of a file that is cut short, pages
    may be whole, but nobody can tell how many there were. Pixels are not looked at.
    """
    form, file = tiff.tiff, tiff.filehandle
    places = [int(tiff.pages[number].offset) for number in range(len(tiff.pages))]
    known = set(places)
    for number, place in enumerate(places):
        file.seek(place)
        (n_tags,) = struct.unpack(form.tagnoformat, file.read(form.tagnosize))
        data = file.read(n_tags * form.tagsize + form.offsetsize)
        if n_tags == 0 or len(data) < n_tags * form.tagsize + form.offsetsize:
            return f"page {number}, counted from 0, is missing"
        for start in range(0, n_tags * form.tagsize, form.tagsize):
            if not _is_whole(data[start : start + form.tagsize], form, file.size):
                return f"parts of the header of page {number}, counted from 0, are missing"
        (following,) = struct.unpack(form.offsetformat, data[-form.offsetsize :])
        if following in places[: number + 1]:
            return f"page {number}, counted from 0, leads back to page {places.index(following)}"
        if following and following not in known:
            return f"page {number + 1}, counted from 0, is missing"
    return _missing_of_imagej(tiff)


def _is_whole(entry: bytes, form: tifffile.TiffFormat, n_bytes: int) -> bool:
    """Say whether an entry of a directory was written, and its value lies in the file."""
    code, kind = struct.unpack(form.tagformat1, entry[:4])
    if code == 0:
        return False
    if form.is_ndpi or code >= _FIRST_PRIVATE_TAG or kind not in tifffile.TIFF.DATA_FORMATS:
        return True
    count, value = struct.unpack(form.tagformat2, entry[4 : form.tagsize])
    size = count * struct.calcsize(form.byteorder + tifffile.TIFF.DATA_FORMATS[kind])
    return bool(
        size <= form.tagoffsetthreshold
        or struct.unpack(form.offsetformat, value[: form.offsetsize])[0] + size <= n_bytes
    )


def _missing_of_imagej(tiff: tifffile.TiffFile) -> str | None:
    """Do the same for a stack of ImageJ, all planes of which lie after its only directory."""
    told, page = tiff.imagej_metadata, tiff.pages[0].aspage()
    if not told or tiff.pages.is_multipage or not page.is_final or page.offset > page.dataoffsets[0]:
        return None
    n_frames, n_slices, n_channels = (told.get(name, 1) for name in ("frames", "slices", "channels"))
    if not all(isinstance(number, int) for number in (n_frames, n_slices, n_channels)):
        return None
    n_planes = n_frames * n_slices * (1 if n_channels in page.shaped else n_channels)
    n_bytes = tiff.filehandle.size - page.dataoffsets[0]
    # One plane alone is what other programs save that keep the description of the stack it comes from.
    if page.nbytes < n_bytes < n_planes * page.nbytes:
        return f"{math.ceil((n_planes * page.nbytes - n_bytes) / page.nbytes)} of {n_planes} planes are missing"
    return None
