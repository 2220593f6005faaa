"""Label maps in OME-Zarr have levels, and lie where readers look for them."""

import json

import numpy as np
import pytest
import zarr

from medseg_ext.datasets.ome_zarr import find_images
from medseg_ext.datasets.sources import FolderSource
from medseg_ext.errors import DataError
from medseg_ext.images.ome_zarr import OmeZarrImage
from medseg_ext.objects.label_zarr import encode_label_zarr, write_labels_into

LABELS = np.kron(np.arange(30 * 41).reshape(30, 41), np.ones((70, 50))).astype(np.int32)


@pytest.mark.parametrize(("zarr_format", "version"), [(2, "0.4"), (3, "0.5")])
def test_levels_are_picked_and_not_averaged(zarr_format, version, tmp_path):
    path = tmp_path / "a.ome.zarr"
    encode_label_zarr(path, LABELS, (0.5, 0.25), name="nucleus", zarr_format=zarr_format)
    image = OmeZarrImage(path, "a")
    assert (image.size, image.reductions, image.pixel_size_um) == (LABELS.shape, (1, 4), (0.5, 0.25))
    np.testing.assert_array_equal(image.read_all(), LABELS)
    np.testing.assert_array_equal(image.reduced(4).read_all(), LABELS[::4, ::4])
    attributes = dict(zarr.open(str(path), mode="r").attrs)
    told = attributes if zarr_format == 2 else attributes["ome"]
    assert "image-label" in told
    assert version in json.dumps(told)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_labels_in_an_image_are_found_beside_others_and_never_replaced(zarr_format, tmp_path):
    image, labels = tmp_path / "images/a.zarr", tmp_path / "labels.zarr"
    encode_label_zarr(image, LABELS, None, name="image", zarr_format=zarr_format)
    encode_label_zarr(labels, LABELS, None, name="nucleus", zarr_format=2)
    for name in ("nucleus", "cell"):
        write_labels_into(image, labels, name=name, pixel_size_um=None)
    ((pair, _),), _ = find_images(FolderSource.open(tmp_path / "images"))
    assert sorted(pair.labels.values()) == ["a.zarr/labels/cell", "a.zarr/labels/nucleus"]
    assert OmeZarrImage(image / "labels/cell", "a").dtype == np.uint16
    with pytest.raises(DataError, match="is there already"):
        write_labels_into(image, labels, name="cell", pixel_size_um=None)
