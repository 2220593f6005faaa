"""The widget that segments the plane shown of an image layer."""

from __future__ import annotations

import atexit
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.widgets import (
    ComboBox,
    Container,
    FileEdit,
    FloatSpinBox,
    Label,
    ProgressBar,
    PushButton,
    create_widget,
)
from napari.qt.threading import create_worker
from napari.utils.notifications import show_error, show_info, show_warning
from qtpy.QtCore import QObject, Signal

from medseg_ext.errors import DataError, one_line
from medseg_ext.napari.bundles import bundle_choices
from medseg_ext.napari.client import Client
from medseg_ext.napari.narrow import keep_narrow
from medseg_ext.napari.planes import Plane, shown_plane

if TYPE_CHECKING:
    import napari.viewer

    from medseg_ext.objects.segmented_array import SegmentedArray

NO_BUNDLES = "there are no bundles: start napari in the folder that holds `bundles`, or set MEDSEG_BUNDLES to it"

CLIENT = Client()  # of all widgets
atexit.register(CLIENT.close)


@dataclass(frozen=True)
class Failure:
    """Why there is no result, in one line."""

    reason: str


class TileSignal(QObject):
    """Tells the window's thread of tiles that another one has done."""

    done = Signal(int, int)


class SegmentWidget(Container):
    """Find the objects of an image layer with a bundle, and show them as a labels layer with their table.

    Args:
        napari_viewer: the viewer.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(labels=True)
        self._viewer = napari_viewer
        self._worker: Any = None
        self._tiles = TileSignal()
        self._tiles.done.connect(self._show_tiles)
        self.image = create_widget(annotation="napari.layers.Image", label="image")
        self.bundle = ComboBox(choices=bundle_choices(), label="bundle")
        self.weights = FileEdit(
            mode="r",
            filter="Weights (*.pt *.safetensors)",
            nullable=True,
            value=None,
            label="weights",
            tooltip="of your own training, such as runs/mine/model.pt; empty: those of the bundle",
        )
        self.diameter = FloatSpinBox(
            min=0, max=100_000, step=1, label="diameter", tooltip="of a typical object, in pixels; 0 estimates it"
        )
        self.pixel_size = FloatSpinBox(
            min=0,
            max=1000,
            step=0.01,
            label="pixel in µm",
            tooltip="length of a pixel, for areas in µm²; 0 takes the layer's scale and units",
        )
        self.told = Label(value="")
        self.start = PushButton(text="Segment")
        self.stop = PushButton(text="Cancel", enabled=False)
        self.progress = ProgressBar(min=0, max=0, visible=False, label="")
        buttons = Container(widgets=[self.start, self.stop], layout="horizontal", labels=False)
        self.extend(
            [
                self.image,
                self.bundle,
                self.weights,
                self.diameter,
                self.pixel_size,
                self.told,
                buttons,
                self.progress,
            ]
        )
        self.told.native.setWordWrap(True)
        self.diameter.native.setSpecialValueText("estimated")
        self.pixel_size.native.setSpecialValueText("as the layer tells")
        keep_narrow(self.image, self.bundle)
        self.start.changed.connect(self._start)
        self.stop.changed.connect(self._cancel)
        self.image.changed.connect(self._describe)
        for event in (napari_viewer.dims.events.current_step, napari_viewer.dims.events.ndisplay):
            event.connect(self._describe)
        napari_viewer.dims.events.order.connect(self._describe)
        self._describe()

    def _describe(self, *_: object) -> None:
        """Say what would be segmented."""
        if self._worker is None:
            self.told.value = self._description()

    def _description(self) -> str:
        if not self.bundle.choices:
            return NO_BUNDLES
        if self.image.value is None:
            return "open an image"
        try:
            return shown_plane(self.image.value, self._viewer.dims).describe()
        except DataError as error:
            return one_line(error)

    def _start(self, *_: object) -> None:
        if self.image.value is None or self.bundle.value is None:
            show_error(self._description())
            return
        try:
            plane = shown_plane(self.image.value, self._viewer.dims)
        except DataError as error:
            show_error(one_line(error))
            return
        weights = self.weights.value
        size = self.pixel_size.value
        order = Order(
            plane=plane,
            bundle=self.bundle.value,
            weights=Path(weights) if weights and str(weights) != "." else None,
            object_diameter_px=self.diameter.value or None,
            pixel_size_um=(size, size) if size else plane.pixel_size_um,
        )
        self._worker = worker = create_worker(
            order.carry_out,
            self._tiles,
            lambda: self._worker is None or self._worker.abort_requested,
            _start_thread=False,
        )
        worker.returned.connect(lambda outcome: self._show(order, outcome))
        worker.finished.connect(self._finish)
        self.start.enabled, self.stop.enabled = False, True
        self.progress.max, self.progress.visible = 0, True
        self.told.value = f"segmenting {plane.name} with {order.bundle.name}"
        worker.start()

    def _is_cancelled(self) -> bool:
        worker = self._worker
        return worker is None or bool(worker.abort_requested)

    def _show_tiles(self, done: int, number: int) -> None:
        self.progress.max, self.progress.value = number, done
        self.told.value = f"{done} of {number} tiles are done"

    def _cancel(self, *_: object) -> None:
        if self._worker is not None:
            self._worker.quit()

    def _finish(self) -> None:
        self._worker = None
        self.start.enabled, self.stop.enabled, self.progress.visible = True, False, False
        self._describe()

    def _show(self, order: Order, outcome: SegmentedArray | Failure | None) -> None:
        if isinstance(outcome, Failure):
            show_error(outcome.reason)
        elif outcome is not None:
            add_layers(self._viewer, order, outcome)


@dataclass(frozen=True)
class Order:
    """What is to be segmented, and with what.

    Attributes:
        plane: the pixels.
        bundle: the bundle's folder.
        weights: other weights than the bundle's own, or None.
        object_diameter_px: of a typical object; None estimates it.
        pixel_size_um: (height, width) of a pixel, or None.
    """

    plane: Plane
    bundle: Path
    weights: Path | None
    object_diameter_px: float | None
    pixel_size_um: tuple[float, float] | None

    def carry_out(self, tiles: TileSignal, is_cancelled: Callable[[], bool]) -> SegmentedArray | Failure | None:
        """Segment; returns what was found, or why not; None where it was cancelled."""
        try:
            return CLIENT.segment(
                self.plane.pixels(),
                name=self.plane.name,
                bundle=str(self.bundle),
                weights=str(self.weights) if self.weights else None,
                object_diameter_px=self.object_diameter_px,
                pixel_size_um=self.pixel_size_um,
                is_cancelled=is_cancelled,
                when_tile_done=tiles.done.emit,
            )
        except (OSError, RuntimeError, ValueError, MemoryError) as error:  # those that `medseg` tells in one line
            return Failure(one_line(error))


def add_layers(viewer: napari.viewer.Viewer, order: Order, found: SegmentedArray) -> None:
    """Add what was found to the viewer: labels with the table of the objects, and of cells their nuclei."""
    plane, remarks = order.plane, str(found.summary["remarks"])
    layers = {f"{plane.name} objects": found.objects}
    if found.nuclei is not None:
        layers[f"{plane.name} nuclei"] = found.nuclei
    about = {
        "image": plane.name,
        "bundle": str(order.bundle),
        "weights": str(order.weights) if order.weights else "",
        **{key: found.summary[key] for key in ("object_diameter_px", "scale", "remarks")},
    }
    added: list[Any] = []
    for name, labels in layers.items():
        is_first = not added
        features = {"index": found.table["id"], **found.table} if is_first else None
        layer = viewer.add_labels(plane.as_layer(labels), name=name, features=features, **plane.placement)
        layer.metadata["medseg"] = about
        layer.selected_label = int(labels.max()) + 1  # a new object, where one is painted
        added.append(layer)
    if len(added) > 1:
        added[0].metadata["medseg"] = {**about, "nuclei": added[1].name}
    viewer.layers.selection.active = added[0]
    count = len(found.table["id"])
    text = f"{count} object{'' if count == 1 else 's'} in {plane.name}" if count else f"nothing found in {plane.name}"
    (show_warning if remarks else show_info)(f"{text}; {remarks}" if remarks else text)
