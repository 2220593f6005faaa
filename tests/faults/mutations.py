"""Damage files in every way that a disk, a network or a malicious person does, by a seed."""

from __future__ import annotations

import gzip
import io
import random
import struct
import zipfile
import zlib
from collections.abc import Iterator

import nibabel
import numpy as np
import tifffile
from image_files import deep_png, dicom
from PIL import Image

HEIGHT, WIDTH = 48, 64
HEADER_BYTES = 400
LIES = (0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 0x00010000, 0x80000000)
SCRIPTS = ("Größe", "細胞", "خلية", "клетка", "κύτταρο", "세포", "कोशिका", "😀", "e\u0301", "\u202egnp")
FORMULAS = ("=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "a\rb", "a\nb", 'a"b', "a,b;c", "' '", "<b>&amp;")


def picture() -> np.ndarray:
    """Draw a few round objects, uint8 (H, W)."""
    rows, columns = np.ogrid[:HEIGHT, :WIDTH]
    picture = np.full((HEIGHT, WIDTH), 12, np.uint8)
    for row, column in ((12, 14), (30, 44), (36, 12)):
        picture[(rows - row) ** 2 + (columns - column) ** 2 < 64] = 220
    return picture


def image_files() -> dict[str, bytes]:
    """Encode the picture in every container that is read, by a file name."""
    grey = picture()
    rgb = np.repeat(grey[..., None], 3, axis=2)
    deep = grey.astype(np.uint16) * 257
    files = {
        "grey.png": _pillow(grey, "PNG"),
        "rgb.png": _pillow(rgb, "PNG"),
        "deep.png": deep_png(np.repeat(deep[..., None], 3, axis=2)),
        "palette.png": _pillow(Image.fromarray(grey).convert("P"), "PNG"),
        "grey.bmp": _pillow(grey, "BMP"),
        "rgb.jpg": _pillow(rgb, "JPEG"),
        "plain.tif": _tiff(grey),
        "rgb.tif": _tiff(rgb, photometric="rgb", compression="lzw", predictor=True),
        "tiled.tif": _tiff(deep, tile=(16, 16), compression="zlib"),
        "jpeg.tif": _tiff(rgb, photometric="rgb", compression="jpeg"),
        "zstd.tif": _tiff(grey.astype(np.float32), compression="zstd"),
        "big.tif": _tiff(grey, bigtiff=True),
        "pages.ome.tif": _tiff(np.stack([grey, 0 * grey]), ome=True, metadata={"axes": "CYX"}),
        "stack.tif": _tiff(np.stack([grey, 0 * grey]), imagej=True),
        "slice.dcm": dicom(deep),
    }
    nifti = nibabel.Nifti1Image(grey.T, np.eye(4)).to_bytes()
    return files | {"slice.nii": nifti, "slice.nii.gz": gzip.compress(nifti, mtime=0)}


def damaged(data: bytes, chance: random.Random, number: int) -> Iterator[tuple[str, bytes]]:
    """Damage a file in a number of ways. Yields: what was done, and what is left."""
    for turn in range(number):
        kind = ("cut", "flipped", "lie", "zeroed", "flipped header", "inserted", "removed", "other end")[turn % 8]
        changed = bytearray(data)
        place = chance.randrange(len(data))
        if kind == "cut":
            changed = changed[:place]
        elif kind.startswith("flipped"):
            within = min(HEADER_BYTES, len(data)) if kind.endswith("header") else len(data)
            for _ in range(chance.randint(1, 8)):
                changed[chance.randrange(within)] ^= 1 << chance.randrange(8)
        elif kind == "lie":  # a number of the header
            place = chance.randrange(min(HEADER_BYTES, len(data)) - 4) & ~1
            changed[place : place + 4] = struct.pack(chance.choice("<>") + "I", chance.choice(LIES))
        elif kind == "zeroed":
            changed[place : place + 512] = bytes(len(changed[place : place + 512]))
        elif kind == "inserted":
            changed[place:place] = chance.randbytes(chance.randint(1, 64))
        elif kind == "removed":
            del changed[place : place + chance.randint(1, 64)]
        else:
            changed[place:] = chance.randbytes(len(changed) - place)
        yield kind, bytes(changed)


def bombs() -> dict[str, bytes]:
    """Make small files that claim, or would become, more than a machine has, and those that lead in circles."""
    header = struct.pack(">IIBBBBB", 46_000, 46_000, 8, 0, 0, 0, 0)
    zeros = zlib.compress(bytes(10_000_000), 9)
    nifti = nibabel.Nifti1Header()
    nifti.set_data_dtype(np.float32)
    nifti.set_data_shape((32_000, 32_000))
    nifti["magic"], nifti["vox_offset"] = b"n+1", 352
    plain, pages = _tiff(picture()), _tiff(np.stack([picture()] * 3), photometric="minisblack")
    return {
        "bomb.png": b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zeros) + _chunk(b"IEND", b""),
        "bomb.nii.gz": gzip.compress(nifti.binaryblock + bytes(4) + bytes(10_000_000)),
        "one strip.tif": _lying(plain, {256: 40_000, 257: 40_000, 278: 40_000, 259: 8}),
        "no end of rows.tif": _lying(plain, {278: 2**32 - 1}),
        "itself.tif": _next_directory(plain, 0, 0),
        "circle.tif": _next_directory(pages, 2, 1),
        "sub.tif": _lying(plain, {305: 8}),
    }


def archive(files: dict[str, bytes], *, claims: dict[str, int] | None = None) -> bytes:
    """Pack a ZIP, of which members may claim another size than they have."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as written:
        for name, content in files.items():
            written.writestr(name, content)
        for name, size in (claims or {}).items():
            written.getinfo(name).file_size = size
    return packed.getvalue()


def _pillow(pixels: np.ndarray | Image.Image, form: str) -> bytes:
    encoded = io.BytesIO()
    (Image.fromarray(pixels) if isinstance(pixels, np.ndarray) else pixels).save(encoded, form)
    return encoded.getvalue()


def _tiff(pixels: np.ndarray, **options: object) -> bytes:
    encoded = io.BytesIO()
    tifffile.imwrite(encoded, pixels, **({} if options.keys() & {"photometric", "imagej"} else
                                         {"photometric": "minisblack"}) | options)  # fmt: skip
    return encoded.getvalue()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _lying(data: bytes, values: dict[int, int]) -> bytes:
    """Give tags of a TIFF's first directory other values."""
    changed = bytearray(data)
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        for code, value in values.items():
            tag = tiff.pages[0].tags.get(code)
            if tag is not None:
                changed[tag.offset : tag.offset + 12] = struct.pack("<HHII", code, 4, 1, value)
    return bytes(changed)


def _next_directory(data: bytes, page: int, following: int) -> bytes:
    """Have a directory of a TIFF lead to another one, such as itself."""
    changed = bytearray(data)
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        offsets = [each.offset for each in tiff.pages]
    (n_tags,) = struct.unpack_from("<H", data, offsets[page])
    struct.pack_into("<I", changed, offsets[page] + 2 + 12 * n_tags, offsets[following])
    return bytes(changed)
