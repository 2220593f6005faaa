"""Write an image with its labels in each format that a preparation reads."""

import gzip
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image
from prepare_helpers import save
from pycocotools import mask as coco_masks
from roifile import ROI_TYPE, ImagejRoi

from medseg_ext.objects.outlined import outline_polygons


def tiff_beside(dtype):
    """Label map of a type as `a_mask.tif`."""

    def write(folder, name, image, labels):
        save(folder / f"{name}.png", image)
        tifffile.imwrite(folder / f"{name}_mask.tif", labels.astype(dtype))

    return write


def png_in_folders(folder, name, image, labels):
    save(folder / "images" / f"{name}.png", image)
    save(folder / "labels" / f"{name}.png", labels.astype(np.uint16))


def npy_in_split_folders(folder, name, image, labels):
    part = folder / ("test" if name.endswith("0") else "train")
    save(part / "images" / f"{name}.png", image)
    (part / "masks").mkdir(exist_ok=True)
    np.save(part / "masks" / f"{name}.npy", labels.astype(np.int64))


def npy_pictures(folder, name, image, labels):
    folder.mkdir(exist_ok=True)
    np.save(folder / f"{name}.npy", image)
    np.save(folder / f"{name}_labels.npy", labels)


def palette(folder, name, image, labels):
    save(folder / f"{name}_img.png", image)
    indexed = Image.fromarray(labels.astype(np.uint8), "P")
    colours = np.random.default_rng(0).integers(0, 256, (256, 3), dtype=np.uint8)
    colours[0] = 0
    indexed.putpalette(colours.tobytes())
    indexed.save(folder / f"{name}_masks.png")


def colours(folder, name, image, labels):
    save(folder / f"{name}.png", image)
    shades = np.stack([labels * 37 % 256, labels // 7 * 11 % 256, labels], axis=-1).astype(np.uint8)
    save(folder / f"{name}_label.png", shades)


def cellpose(folder, name, image, labels):
    save(folder / f"{name}.png", image)
    save(folder / f"{name}_cp_masks.png", labels.astype(np.uint16))
    np.save(folder / f"{name}_seg.npy", {"masks": labels}, allow_pickle=True)


def geojson(folder, name, image, labels):
    save(folder / f"{name}.png", image)
    (folder / f"{name}.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features(labels)}))


def geojson_list_in_gzip(folder, name, image, labels):
    save(folder / "images" / f"{name}.tif", image)
    (folder / "annotations").mkdir(exist_ok=True)
    with gzip.open(folder / "annotations" / f"{name}.tif.json.gz", "wt") as file:
        json.dump(features(labels), file)


def features(labels, **properties):
    """One QuPath annotation an object; those of several pieces as MultiPolygon."""
    listed = []
    for label, parts in sorted(outline_polygons(labels).items()):
        geometry = {"type": "Polygon", "coordinates": parts[0]}
        if len(parts) > 1:
            geometry = {"type": "MultiPolygon", "coordinates": parts}
        about = {"objectType": "annotation", "classification": {"name": "Nucleus", "color": [1, 2, 3]}, **properties}
        listed.append({"type": "Feature", "id": str(label), "geometry": geometry, "properties": about})
    return listed


def coco(encode):
    """COCO with a kind of segmentation, all images in one file."""

    def write(folder, name, image, labels):
        save(folder / "images" / f"{name}.png", image)
        path = folder / "instances.json"
        content = json.loads(path.read_text()) if path.exists() else {"images": [], "annotations": []}
        content["categories"] = [{"id": 5, "name": "nucleus"}]
        image_id, first = len(content["images"]) + 1, len(content["annotations"])
        size = {"height": labels.shape[0], "width": labels.shape[1]}
        content["images"].append({"id": image_id, "file_name": f"C:\\scans\\{name}.png", **size})
        for number in np.unique(labels[labels > 0]):
            entry = {"id": first + int(number), "image_id": image_id, "category_id": 5, "iscrowd": 0}
            content["annotations"].append(
                entry | {"segmentation": encode(labels == number), "area": int((labels == number).sum())}
            )
        path.write_text(json.dumps(content))

    return write


def as_polygon(mask):
    return [np.ravel(parts[0]).tolist() for parts in outline_polygons(mask.astype(np.int32))[1]]


def as_compressed(mask):
    code = coco_masks.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": code["size"], "counts": code["counts"].decode()}


def as_lengths(mask):
    pixels = np.concatenate([[False], mask.ravel(order="F"), [True]])
    edges = np.flatnonzero(np.diff(pixels.astype(np.int8)))
    lengths = np.diff(np.concatenate([[0], edges[: len(edges) - (not mask[-1, -1])], [mask.size]]))
    return {"size": list(mask.shape), "counts": lengths.tolist()}


def rois(folder, name, image, labels):
    """An archive of ROIs; an object with a hole or of several pieces is a composite."""
    save(folder / f"{name}.tif", image)
    with zipfile.ZipFile(folder / f"{name}_RoiSet.zip", "w") as archive:
        for label, parts in outline_polygons(labels).items():
            archive.writestr(f"{label:04}.roi", roi_of([ring for rings in parts for ring in rings]))


def roi_of(rings):
    if len(rings) == 1:
        return ImagejRoi.frompoints(np.array(rings[0][:-1])).tobytes()
    path: list[float] = []
    for ring in rings:  # MOVETO, LINETO, CLOSE
        path += [value for number, (x, y) in enumerate(ring[:-1]) for value in (int(number > 0), x, y)] + [4]
    xs, ys = np.array([point for ring in rings for point in ring]).T
    roi = ImagejRoi(roitype=ROI_TYPE.RECT, left=xs.min(), right=xs.max(), top=ys.min(), bottom=ys.max())
    roi.multi_coordinates = np.array(path, np.float32)
    roi.shape_roi_size = len(path)
    return roi.tobytes()


def ome_zarr(version):
    def write(folder, name, image, labels):
        import zarr

        store = str(folder / f"{name}.ome.zarr")
        root = zarr.open_group(store, mode="w", zarr_format=version)
        pixels = np.moveaxis(image, 2, 0)
        chunks = {"name": "0", "chunks": (1, 64, 64)}
        root.create_array(**chunks, shape=pixels.shape, dtype=pixels.dtype)[:] = pixels
        about(root, version, multiscales("cyx"))
        group = root.create_group("labels")
        about(group, version, {"labels": ["nuclei"]})
        inner = group.create_group("nuclei")
        inner.create_array(name="0", chunks=(64, 64), shape=labels.shape, dtype=np.uint32)[:] = labels
        about(inner, version, multiscales("yx"))

    return write


def about(group, version, attributes):
    group.attrs.update(attributes if version == 2 else {"ome": attributes})


def multiscales(axes):
    return {"multiscales": [{"axes": [{"name": axis} for axis in axes], "datasets": [{"path": "0"}]}]}


def one_mask_an_object(folder, name, image, labels):
    save(folder / name / "images" / f"{name}.png", image)
    for label in np.unique(labels[labels > 0]):
        save(folder / name / "masks" / f"{label}.png", np.uint8(255) * (labels == label))


FORMATS = {
    "8 bits": tiff_beside(np.uint8),
    "16 bits": tiff_beside(np.uint16),
    "32 bits": tiff_beside(np.uint32),
    "signed": tiff_beside(np.int32),
    "float": tiff_beside(np.float32),
    "PNG in folders": png_in_folders,
    "NPY in folders of sections": npy_in_split_folders,
    "pictures as NPY": npy_pictures,
    "palette": palette,
    "colours": colours,
    "Cellpose": cellpose,
    "GeoJSON": geojson,
    "list of GeoJSON, packed": geojson_list_in_gzip,
    "COCO, polygons": coco(as_polygon),
    "COCO, compressed": coco(as_compressed),
    "COCO, lengths": coco(as_lengths),
    "ImageJ": rois,
    "OME-Zarr 0.4": ome_zarr(2),
    "OME-Zarr 0.5": ome_zarr(3),
    "one mask an object": one_mask_an_object,
}


def archive(members: dict[str, bytes]) -> bytes:
    """Pack a ZIP."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for name, data in members.items():
            packed.writestr(name, data)
    return buffer.getvalue()


def read_map(folder: Path, key: str, name: str) -> np.ndarray:
    """Read a map of a data set folder."""
    return np.asarray(Image.open(folder / key / f"{name}.png")).astype(np.int32)
