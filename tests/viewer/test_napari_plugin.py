"""The plugin in a real window of napari: what it finds, what can be corrected, and what a preparation makes of it."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from bundle_settings import ROOT
from PIL import Image

pytestmark = pytest.mark.napari
napari = pytest.importorskip("napari", reason="needs napari: make test-napari")
if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
    pytest.skip("needs a display, such as that of xvfb-run: make test-napari", allow_module_level=True)

from napari.utils.notifications import notification_manager  # noqa: E402
from npe2 import PluginManager  # noqa: E402
from qtpy.QtWidgets import QApplication  # noqa: E402

from medseg_ext.errors import DataError  # noqa: E402
from medseg_ext.images.tiff_writing import write_image_tiff  # noqa: E402
from medseg_ext.napari.planes import refuse_apart, shown_plane  # noqa: E402
from medseg_ext.napari.segment_widget import CLIENT  # noqa: E402
from medseg_ext.synthetic.scenes import nucleus_images, smears  # noqa: E402
from medseg_ext.tables import read_table  # noqa: E402

LONGEST_WAIT_S = 300
NUCLEI, CELLS = ROOT / "bundles" / "dsb2018_unet", ROOT / "bundles" / "segpc2021_unet"


@pytest.fixture(scope="module")
def nuclei():
    """A grey image of 16 bits, and its true objects."""
    drawn = next(nucleus_images(0))
    return drawn.image[..., 0].astype(np.uint16) * 200, drawn.labels


@pytest.fixture
def viewer(tmp_path, monkeypatch):
    """A window of napari, in a folder of its own."""
    errors = []  # of what Qt calls
    monkeypatch.setattr(sys, "excepthook", lambda *error: errors.append(error))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEDSEG_BUNDLES", str(ROOT / "bundles"))
    notification_manager.records.clear()
    shown = napari.Viewer(show=True)
    yield shown
    shown.close()
    assert errors == []


@pytest.fixture
def segment(viewer):
    """Dock the widget, and press its button; returns the layers that are new."""

    def press(layer, *, bundle=NUCLEI, **values):
        widget = docked(viewer, "Segment cells and nuclei")
        widget.image.value, widget.bundle.value = layer, bundle
        for name, value in values.items():
            getattr(widget, name).value = value
        before = list(viewer.layers)
        widget.start.native.click()
        wait_until(lambda: widget.start.enabled)
        return [each for each in viewer.layers if each not in before]

    return press


def docked(viewer, name):
    """Dock a widget as a person does by the menu, once."""
    for dock in viewer.window.dock_widgets.values():
        if type(dock).__name__ == {"Segment cells and nuclei": "SegmentWidget"}.get(name, "SaveWidget"):
            return dock
    _, widget = viewer.window.add_plugin_dock_widget("medseg-ext", name)
    return widget


def wait_until(condition):
    """Let the window work until something is so."""
    end = time.monotonic() + LONGEST_WAIT_S
    while not condition():
        assert time.monotonic() < end
        QApplication.processEvents()
        time.sleep(0.02)


def notified():
    return [(str(each.severity), each.message) for each in notification_manager.records]


def medseg(*words):
    """Run the front door in a process of its own: PyTorch is to stay out of that of the window."""
    subprocess.run([sys.executable, "-m", "medseg_ext.cli", *map(str, words)], check=True, capture_output=True)


def by_the_front_door(pixels, folder, *, bundle=NUCLEI, pixel_size_um=None):
    """Segment a TIFF of the pixels with `medseg segment`; returns its files' folder."""
    write_image_tiff(folder / "a.tif", pixels, pixel_size_um=pixel_size_um)
    medseg("segment", folder / "a.tif", "--bundle", bundle, "--output", folder / "out", "--no-gallery")
    return folder / "out"


def assert_same_objects(found, true):
    pairs = np.unique(np.stack([found.ravel(), true.ravel()]), axis=1)
    assert len(set(pairs[0])) == len(set(pairs[1])) == pairs.shape[1]
    np.testing.assert_array_equal(found > 0, true > 0)


def test_napari_finds_the_plugin_by_the_manifest():
    manager = PluginManager.instance()
    manager.discover()
    manifest = manager.get_manifest("medseg-ext")
    assert manifest.display_name == "napari-medseg"
    assert {each.display_name for each in manifest.contributions.widgets} == {
        "Segment cells and nuclei",
        "Save image and labels for training",
    }


def test_objects_and_features_are_those_of_medseg_segment(viewer, segment, nuclei, tmp_path):
    pixels, _ = nuclei
    layer = viewer.add_image(pixels, name="dapi", scale=(250, 500), units=("nm", "nm"))
    (labels,) = segment(layer)
    files = by_the_front_door(pixels, tmp_path, pixel_size_um=(0.25, 0.5))
    np.testing.assert_array_equal(labels.data, tifffile.imread(files / "a_instances.tif"))
    assert labels.data.max() > 3
    expected = read_table(files / "a_objects.csv")
    assert list(labels.features.columns) == ["index", *expected]
    assert "area_um2" in expected
    for column, values in expected.items():
        np.testing.assert_array_equal(labels.features[column], values)
    np.testing.assert_array_equal(labels.features["index"], expected["id"])
    np.testing.assert_array_equal(labels.scale, layer.scale)
    assert labels.units == layer.units
    assert any("objects in dapi" in text for _, text in notified())


def test_a_network_is_loaded_once_and_own_weights_beside_it(viewer, segment, nuclei, tmp_path):
    layer = viewer.add_image(nuclei[0])
    (labels,) = segment(layer)
    process = CLIENT._process
    (again,) = segment(layer)
    assert CLIENT._process is process
    np.testing.assert_array_equal(again.data, labels.data)
    (by_own,) = segment(layer, weights=shutil.copy(NUCLEI / "models" / "model.pt", tmp_path))
    np.testing.assert_array_equal(by_own.data, labels.data)
    assert by_own.metadata["medseg"]["weights"] == str(tmp_path / "model.pt")
    (tmp_path / "model.pt").write_bytes(b"nothing")
    assert segment(layer) == []
    assert any("model.pt" in text and "\n" not in text for severity, text in notified() if "error" in severity)
    assert CLIENT._process is process
    assert "torch" not in sys.modules


def test_of_a_stack_the_plane_shown_is_segmented_and_lies_there(viewer, segment, nuclei, tmp_path):
    pixels, _ = nuclei
    stack = np.stack([np.zeros_like(pixels), pixels, pixels[::-1]])
    layer = viewer.add_image(stack, name="z", scale=(2, 0.5, 0.5), translate=(10, 3, 4), units="um")
    viewer.dims.set_current_step(0, 1)
    (labels,) = segment(layer)
    assert labels.data.shape == (1, *pixels.shape)
    np.testing.assert_array_equal(
        labels.data[0],
        tifffile.imread(by_the_front_door(pixels, tmp_path, pixel_size_um=(0.5, 0.5)) / "a_instances.tif"),
    )
    np.testing.assert_array_equal(labels.data_to_world((0, 5, 6)), layer.data_to_world((1, 5, 6)))
    np.testing.assert_array_equal(shown_plane(labels, viewer.dims).values, labels.data[0])
    viewer.dims.ndisplay = 3
    assert segment(layer) == []
    assert any("switch to 2D" in text for _, text in notified())


def test_rgb_with_alpha_of_several_levels_is_seen_at_the_finest(viewer, nuclei):
    rgba = np.dstack([np.uint8(nuclei[0] // 200)] * 3 + [np.full(nuclei[0].shape, 9, np.uint8)])
    layer = viewer.add_image([rgba, rgba[::2, ::2]], rgb=True, multiscale=True)
    plane = shown_plane(layer, viewer.dims)
    np.testing.assert_array_equal(plane.pixels(), rgba[..., :3])
    assert "finest of 2 levels" in plane.describe()
    assert plane.pixel_size_um is None


def test_labels_that_napari_makes_lie_on_the_plane_of_the_image(viewer):
    layer = viewer.add_image(np.zeros((3, 40, 60)), scale=(2, 0.5, 0.5), translate=(1, 7, 9), units="um", name="z")
    viewer.dims.set_current_step(0, 2)
    viewer._new_labels()  # the button of the layer list
    labels = viewer.layers[-1]
    image, plane = shown_plane(layer, viewer.dims), shown_plane(labels, viewer.dims)
    assert (image.numbers, plane.numbers, image.name) == ((2,), (2,), "z_2")
    refuse_apart(image, plane, name=labels.name)
    labels.translate = (1, 7, 12)
    with pytest.raises(DataError, match="lies elsewhere than z_2"):
        refuse_apart(image, shown_plane(labels, viewer.dims), name=labels.name)


def test_a_rotated_stack_keeps_its_labels_and_other_axes_are_refused(viewer):
    layer = viewer.add_image(np.zeros((4, 40, 60)), scale=(2, 1, 1), rotate=30, name="z")
    viewer.dims.set_current_step(0, 3)
    plane = shown_plane(layer, viewer.dims)
    labels = viewer.add_labels(plane.as_layer(np.ones((40, 60), int)), **plane.placement)
    np.testing.assert_allclose(labels.data_to_world((0, 5, 6)), layer.data_to_world((3, 5, 6)))
    viewer.dims.set_current_step(0, 0)
    with pytest.raises(DataError, match="nothing at the plane shown"):
        shown_plane(labels, viewer.dims)
    viewer.dims.order = (1, 0, 2)
    with pytest.raises(DataError, match="roll the axes back"):
        shown_plane(layer, viewer.dims)


@pytest.mark.parametrize(
    ("pixels", "words"),
    [(np.full((64, 64), np.nan), "not finite"), (np.zeros((64, 64), np.uint8), "nothing found in grey")],
)
def test_what_has_no_objects_is_told_in_one_line(viewer, segment, pixels, words):
    layers = segment(viewer.add_image(pixels, name="grey"))
    assert all(len(each.features) == 0 and not each.data.any() for each in layers)
    (message,) = [text for _, text in notified() if words in text]
    assert "grey" in message
    assert "\n" not in message


def test_cancelled_it_leaves_the_window_as_it_was(viewer, nuclei):
    layer = viewer.add_image(np.tile(nuclei[0], (7, 7)), name="large")  # of more than 4.2 megapixels
    widget = docked(viewer, "Segment cells and nuclei")
    widget.image.value, widget.bundle.value = layer, NUCLEI
    widget.start.native.click()
    wait_until(lambda: CLIENT._process is not None)
    folder = CLIENT._process.folder
    widget.stop.native.click()
    wait_until(lambda: widget.start.enabled)
    assert list(viewer.layers) == [layer]
    assert not folder.exists()
    assert [text for severity, text in notified() if "error" in severity.lower()] == []


def test_corrected_labels_come_back_from_a_preparation(viewer, segment, nuclei, tmp_path):
    pixels, _ = nuclei
    layer = viewer.add_image(pixels, name="a")
    (labels,) = segment(layer)
    first, second, third = np.argsort(np.bincount(labels.data.ravel())[1:])[-3:] + 1
    labels.data = np.where(labels.data == second, first, labels.data)  # merge two
    row, column = np.argwhere(labels.data == third)[0]
    labels.fill((row, column), 0)  # delete one
    labels.brush_size, labels.mode = 9, "paint"
    row, column = np.argwhere(labels.data == 0)[500]
    labels.paint((row, column), labels.selected_label)  # a new one
    assert {third, second}.isdisjoint(np.unique(labels.data))
    assert labels.data.max() == labels.selected_label
    save = docked(viewer, "Save image and labels for training")
    save.image.value, save.objects.value, save.folder.value = layer, labels, tmp_path / "labelled"
    assert save.nuclei.value is None
    for name in ("a", "b", "c"):
        save.name.value = name
        save.save.native.click()
    save.save.native.click()
    assert any("c.tif is there already" in text for _, text in notified())
    assert "medseg prepare" in save.told.value
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "labelled" / "images" / "a.tif"), pixels)
    for instances, _ in prepared(tmp_path / "labelled", tmp_path / "data").values():
        assert_same_objects(instances, labels.data)


def test_plasma_cells_come_back_with_their_nuclei(viewer, segment, tmp_path):
    layer = viewer.add_image(next(smears(0)).image, name="smear")
    cells, inner = segment(layer, bundle=CELLS)
    assert [cells.name, inner.name] == ["smear objects", "smear nuclei"]
    inside = inner.data > 0
    assert inside.any()
    np.testing.assert_array_equal(inner.data[inside], cells.data[inside])
    save = docked(viewer, "Save image and labels for training")
    save.image.value, save.objects.value, save.folder.value = layer, cells, tmp_path / "labelled"
    assert save.nuclei.value is inner
    for name in ("a", "b", "c"):
        save.name.value = name
        save.save.native.click()
    for instances, classes in prepared(tmp_path / "labelled", tmp_path / "data").values():
        assert_same_objects(instances, cells.data)
        np.testing.assert_array_equal(classes == 2, inside)


def prepared(folder: Path, target: Path):
    """Prepare a folder by the front door; returns (instances, classes) of each image by id."""
    QApplication.processEvents()
    medseg("prepare", folder, target, "--workers", "1")
    sections = json.loads((target / "dataset.json").read_text())
    items = [item for name in ("training", "validation", "testing") for item in sections[name]]
    assert len(items) == 3
    return {
        item["id"]: tuple(np.asarray(Image.open(target / item[key])) for key in ("instances", "classes"))
        for item in items
    }
