"""Say up to which size an image is worked on as a whole."""

from __future__ import annotations

LARGEST_WHOLE_PX = 2**25  # 33 megapixels: decoding takes about 100 bytes for each
LARGEST_SEEN_PX = 2**26  # likewise, of an image as a network sees it
