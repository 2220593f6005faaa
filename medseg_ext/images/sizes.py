"""Say up to which size an image is worked on as a whole."""

from __future__ import annotations

LARGEST_WHOLE_PX = 2**25  # 33 megapixels: decoding takes about 100 bytes for each
LARGEST_SEEN_PX = 2**26  # likewise, of an image as a network sees it
MAX_PIXELS = 2**31  # a slide of 46,000 x 46,000; a header that claims more is damaged, or made to fill the memory
MAX_SLIDE_PIXELS = 2**36  # likewise of an image in tiles, which is never held as a whole: 260,000 x 260,000
