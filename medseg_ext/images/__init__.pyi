from .blocks import BlockImage, open_block_image, pixel_io
from .boxes import Box
from .channels import n_channels_read
from .eight_bit import read_rgb_8_bit
from .pixel_size import read_pixel_size_um
from .png import encode_png
from .read import read_labels, read_rgb

__all__ = [
    "BlockImage",
    "Box",
    "encode_png",
    "n_channels_read",
    "open_block_image",
    "pixel_io",
    "read_labels",
    "read_pixel_size_um",
    "read_rgb",
    "read_rgb_8_bit",
]
