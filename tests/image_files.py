"""Files of formats that no library at hand writes as the tests need them, made byte by byte."""

import struct
import zlib

import numpy as np

EXPLICIT_LITTLE_ENDIAN, SECONDARY_CAPTURE = "1.2.840.10008.1.2.1", "1.2.840.10008.5.1.4.1.1.7"


def deep_png(pixels: np.ndarray) -> bytes:
    """Encode 16 bits of RGB or RGBA, (H, W, 3 or 4); see https://www.w3.org/TR/png-3."""
    height, width, channels = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)  # 0: no filter
    header = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[channels], 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def dicom(
    pixels: np.ndarray,
    *,
    frames: int | None = None,
    photometric: str | None = None,
    spacing_mm: tuple[float, float] | None = None,
) -> bytes:
    """Encode grey (H, W), RGB (H, W, 3), or grey frames (N, H, W); spacing is of rows, then of columns (PS3.3)."""
    is_rgb = pixels.ndim == 3 and frames is None
    height, width = pixels.shape[:2] if is_rgb else pixels.shape[-2:]
    bits = 8 * pixels.itemsize
    head = (
        _element(2, 1, "OB", b"\0\1")
        + _element(2, 2, "UI", SECONDARY_CAPTURE)
        + _element(2, 3, "UI", "1.2.3.4")
        + _element(2, 0x10, "UI", EXPLICIT_LITTLE_ENDIAN)
        + _element(2, 0x12, "UI", "1.2.3")
    )
    body = _element(8, 0x16, "UI", SECONDARY_CAPTURE) + _element(8, 0x18, "UI", "1.2.3.4")
    body += _element(0x28, 2, "US", 3 if is_rgb else 1)
    body += _element(0x28, 4, "CS", photometric or ("RGB" if is_rgb else "MONOCHROME2"))
    body += _element(0x28, 6, "US", 0) if is_rgb else b""
    body += _element(0x28, 8, "IS", str(frames)) if frames else b""
    body += _element(0x28, 0x10, "US", height) + _element(0x28, 0x11, "US", width)
    body += _element(0x28, 0x30, "DS", "{}\\{}".format(*spacing_mm)) if spacing_mm else b""
    body += _element(0x28, 0x100, "US", bits) + _element(0x28, 0x101, "US", bits)
    body += _element(0x28, 0x102, "US", bits - 1) + _element(0x28, 0x103, "US", int(pixels.dtype.kind == "i"))
    body += _element(0x7FE0, 0x10, "OW", pixels.tobytes())
    return bytes(128) + b"DICM" + _element(2, 0, "UL", struct.pack("<I", len(head))) + head + body


def _element(group: int, number: int, kind: str, value: bytes | str | int) -> bytes:
    data = struct.pack("<H", value) if isinstance(value, int) else value.encode() if isinstance(value, str) else value
    data += (b"\0" if kind in ("UI", "OB", "OW") else b" ") * (len(data) % 2)
    length = struct.pack("<HI", 0, len(data)) if kind in ("OB", "OW") else struct.pack("<H", len(data))
    return struct.pack("<HH", group, number) + kind.encode() + length + data
