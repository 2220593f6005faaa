"""The widget that saves an image layer and its labels for a training."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from magicgui.widgets import CheckBox, Container, FileEdit, Label, LineEdit, PushButton, create_widget
from napari.utils.notifications import show_error, show_info

from medseg_ext.datasets.labelled_folder import IMAGES, save_labelled_image
from medseg_ext.errors import DataError, one_line
from medseg_ext.files import usable_id
from medseg_ext.napari.narrow import keep_narrow
from medseg_ext.napari.planes import refuse_apart, shown_plane

if TYPE_CHECKING:
    import napari.viewer


class SaveWidget(Container):
    """Save the plane shown of an image layer, with its labels, in a folder that `medseg prepare` reads.

    Args:
        napari_viewer: the viewer.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(labels=True)
        self._viewer = napari_viewer
        self._proposed = ""
        self.image = create_widget(annotation="napari.layers.Image", label="image")
        self.objects = create_widget(annotation="napari.layers.Labels", label="objects")
        self.nuclei = create_widget(
            annotation="napari.layers.Labels",
            label="nuclei",
            value=None,
            options={
                "nullable": True,
                "tooltip": "where the objects are cells, the labels of their nuclei; else empty",
            },
        )
        self.folder = FileEdit(mode="d", value="labelled", label="folder", tooltip="takes any number of images")
        self.name = LineEdit(label="name", tooltip="of the image, in the folder")
        self.overwrite = CheckBox(text="overwrite an image of this name", value=False)
        self.save = PushButton(text="Save")
        self.told = Label(value="")
        self.extend(
            [self.image, self.objects, self.nuclei, self.folder, self.name, self.overwrite, self.save, self.told]
        )
        self.told.native.setWordWrap(True)
        keep_narrow(self.image, self.objects, self.nuclei)
        self.save.changed.connect(self._save)
        self.image.changed.connect(self._propose_name)
        self.objects.changed.connect(self._propose_partners)
        napari_viewer.dims.events.current_step.connect(self._propose_name)
        self._propose_partners()
        self._propose_name()

    def _propose_name(self, *_: object) -> None:
        """Name the image as its layer and plane, unless somebody has given it a name."""
        if self.image.value is None or self.name.value not in ("", self._proposed):
            return
        try:
            plane = shown_plane(self.image.value, self._viewer.dims)
        except DataError:
            return
        self._proposed = self.name.value = usable_id(plane.name)

    def _propose_partners(self, *_: object) -> None:
        """Choose the nuclei that were found together with the objects, and none for other objects."""
        about = self.objects.value.metadata.get("medseg", {}) if self.objects.value is not None else {}
        partner = about.get("nuclei")
        self.nuclei.value = next((layer for layer in self._viewer.layers if layer.name == partner), None)

    def _save(self, *_: object) -> None:
        if self.image.value is None or self.objects.value is None:
            show_error("choose an image layer and its labels layer")
            return
        folder = Path(self.folder.value).absolute()
        try:
            image, *labels = (
                shown_plane(layer, self._viewer.dims)
                for layer in (self.image.value, self.objects.value, self.nuclei.value)
                if layer is not None
            )
            for layer, plane in zip((self.objects.value, self.nuclei.value), labels, strict=False):
                refuse_apart(image, plane, name=layer.name)
            maps = [plane.pixels() for plane in labels]
            files = save_labelled_image(
                folder,
                self.name.value,
                image.pixels(),
                maps[0],
                nuclei=maps[1] if len(maps) > 1 else None,
                pixel_size_um=image.pixel_size_um,
                overwrite=self.overwrite.value,
            )
        except (OSError, RuntimeError, ValueError, MemoryError) as error:
            show_error(one_line(error))
            return
        count = len(np.unique(maps[0][maps[0] > 0]))
        n_images = sum(1 for _ in (folder / IMAGES).iterdir())
        show_info(f"{count} object{'' if count == 1 else 's'} saved: {', '.join(map(_shown, files))}")
        command = shlex.join(["medseg", "prepare", _shown(folder), "data/mine"])
        self.told.value = f"{n_images} image{'' if n_images == 1 else 's'} in the folder; when all are: {command}"


def _shown(path: Path) -> str:
    """Name a path from where napari was started, if it is there, as it would be typed."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
