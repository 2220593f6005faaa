"""Draw the pictures of docs/napari.md: an image segmented by the plugin, with the table; its labels being saved.

`xvfb-run -s "-screen 0 1600x1100x24" .venv-napari/bin/python tools/napari_picture.py IMAGE docs`; without
`xvfb-run` the window opens on the display of the person.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
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
COLOURS = 256  # of the palette, which makes the file small


def main() -> None:
    """Read the arguments, and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("image", type=Path, help="image of nuclei")
    parser.add_argument("folder", type=Path, help="takes napari.png and napari_save.png")
    arguments = parser.parse_args()
    pictures = arguments.folder.absolute()
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
    draw(viewer, pictures / "napari.png")
    viewer.window.remove_dock_widget(table)
    viewer.window.remove_dock_widget(dock)
    dock, save = viewer.window.add_plugin_dock_widget("medseg-ext", "Save image and labels for training")
    dock.setMaximumWidth(DOCK_PX)
    labels.contour, labels.opacity, labels.mode = 0, 0.6, "paint"
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        save.folder.line_edit.value = "labelled"  # shown as typed
        save.save.native.click()
        draw(viewer, pictures / "napari_save.png")
    viewer.close()


def draw(viewer: napari.Viewer, picture: Path) -> None:
    """Write the window as it is."""
    wait_s(3)
    shown = Image.fromarray(viewer.screenshot(canvas_only=False, flash=False)[..., :3])
    shown.quantize(COLOURS, dither=Image.Dither.NONE).save(picture, optimize=True)


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
