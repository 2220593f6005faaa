"""Draw the picture of docs/napari.md: an image in napari, segmented by the plugin, with the table of its objects.

`xvfb-run -s "-screen 0 1600x1100x24" .venv-napari/bin/python tools/napari_picture.py IMAGE docs/napari.png`; without a
display of its own the window opens on that of the person.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
from PIL import Image
from qtpy.QtWidgets import QApplication

WINDOW_PX = (1500, 1000)
DOCK_PX = 420
SHOWN_OF_NAME = 12  # as in the captions of the other pictures
LONGEST_WAIT_S = 600
COLOURS = 96  # of the palette: the window has few, and the file is to be small


def main() -> None:
    """Read the arguments, and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("image", type=Path, help="image of nuclei")
    parser.add_argument("picture", type=Path, help="PNG to write")
    arguments = parser.parse_args()
    viewer = napari.Viewer(show=True)
    viewer.window.resize(*WINDOW_PX)
    pixels = np.asarray(Image.open(arguments.image).convert("RGB"))
    layer = viewer.add_image(pixels, name=arguments.image.stem[:SHOWN_OF_NAME], rgb=True)
    dock, widget = viewer.window.add_plugin_dock_widget("medseg-ext", "Segment cells and nuclei")
    dock.setMaximumWidth(DOCK_PX)
    widget.image.value = layer
    widget.start.native.click()
    wait(lambda: widget.start.enabled)
    labels = viewer.layers[-1]
    labels.contour, labels.opacity = 2, 1
    table, _ = viewer.window.add_plugin_dock_widget("napari", "Features table widget")
    table.setMinimumHeight(DOCK_PX)
    table.setMaximumWidth(DOCK_PX)
    viewer.layers.selection.active = labels
    viewer.reset_view()
    wait_s(3)
    picture = Image.fromarray(viewer.screenshot(canvas_only=False, flash=False)[..., :3])
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(arguments.picture, optimize=True)
    viewer.close()


def wait(condition: Callable[[], bool]) -> None:
    """Let the window work until something is so."""
    end = time.monotonic() + LONGEST_WAIT_S
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"nothing came in {LONGEST_WAIT_S} s")
        wait_s(0.1)


def wait_s(seconds: float) -> None:
    """Let the window work for a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.02)


if __name__ == "__main__":
    main()
