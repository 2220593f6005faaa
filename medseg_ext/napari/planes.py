"""Take the plane that napari shows out of a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from medseg_ext.errors import DataError
from medseg_ext.memory import check_bytes

if TYPE_CHECKING:
    from napari.components import Dims
    from napari.layers import Image, Labels

REMEDY = "choose the image that was labelled"
BYTES_OF_RESULTS = 16  # a pixel: label map, class map, and what napari keeps of them


class Plane(NamedTuple):
    """The last two axes of a layer, at the position of the sliders.

    Attributes:
        values: (H, W), or RGB (H, W, 3 or 4); an array of NumPy or a lazy one, such as Dask's.
        name: of the layer, with the plane's numbers of a stack.
        numbers: of the plane, one for each axis before the last two.
        level: what is taken of a layer of several levels, else "".
        pixel_size_um: (height, width) of a pixel; None where the layer's units are no lengths.
        placement: how a layer of the same plane lies in the viewer, arguments of `Viewer.add_labels`.
    """

    values: Any
    name: str
    numbers: tuple[int, ...]
    level: str
    pixel_size_um: tuple[float, float] | None
    placement: dict[str, Any]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.values.shape[0], self.values.shape[1]

    def pixels(self) -> np.ndarray:
        """Read the plane: (H, W) or RGB (H, W, 3), without alpha.

        Raises:
            DataError: it is too large for the memory; names it.
        """
        height, width = self.size
        n_bytes = int(np.prod(self.values.shape)) * self.values.dtype.itemsize + BYTES_OF_RESULTS * height * width
        remedy = "segment its file instead, with `medseg segment`, which reads it by parts"
        check_bytes(n_bytes, self.name, remedy=remedy)
        values = self.values[..., :3] if self.values.ndim == 3 else self.values
        return np.asarray(values)

    def describe(self) -> str:
        """Say in lines what is taken of the layer."""
        height, width = self.size
        lines = [f"{height} x {width} pixels" + (", RGB" if self.values.ndim == 3 else "")]
        if self.numbers:
            lines.append(f"the plane shown alone: {', '.join(map(str, self.numbers))}, counted from 0")
        if self.level:
            lines.append(self.level)
        if self.pixel_size_um is None:
            lines.append("pixel size unknown: the layer's units are no lengths")
        else:
            lines.append("a pixel is {:.4g} x {:.4g} µm".format(*self.pixel_size_um))
        return "\n".join(lines)

    def as_layer(self, labels: np.ndarray) -> np.ndarray:
        """Give a label map (H, W) the axes of the layer."""
        return labels[(None,) * len(self.numbers)]


def shown_plane(layer: Image | Labels, dims: Dims) -> Plane:
    """Take the plane that a viewer shows out of an image or labels layer; of a multiscale layer the finest level.

    Args:
        layer: of two axes or more, RGB not counted.
        dims: those of the viewer.

    Raises:
        DataError: a stack is shown in 3D, or across other axes than its last two, or not at all at this position; names
            the layer and the remedy.
    """
    data = layer.data[0] if layer.multiscale else layer.data
    n_axes, before = layer.ndim, layer.ndim - 2
    if n_axes < 2:
        raise DataError(f"{layer.name} has one axis: give a layer with rows and columns")
    numbers: tuple[int, ...] = ()
    if before:
        if dims.ndisplay != 2:
            raise DataError(f"{layer.name} is shown in 3D, and one plane is taken: switch to 2D (Ctrl+Y) and choose it")
        shown = sorted(axis - (dims.ndim - n_axes) for axis in dims.displayed)
        if shown != [n_axes - 2, n_axes - 1]:
            raise DataError(
                f"{layer.name} is shown across its axes {shown[0]} and {shown[1]}, and planes are of the last two,"
                f" {n_axes - 2} and {n_axes - 1}: roll the axes back (Ctrl+E)"
            )
        position = np.rint(np.asarray(layer.world_to_data(dims.point))[:before]).astype(int)
        numbers = tuple(map(int, position))
        if not all(0 <= number < length for number, length in zip(numbers, data.shape[:before], strict=True)):
            raise DataError(f"{layer.name} has nothing at the plane shown: move the sliders to one of its planes")
    levels = len(layer.data) if layer.multiscale else 1
    return Plane(
        values=data[numbers],
        name=f"{layer.name}{''.join(f'_{number}' for number in numbers)}",
        numbers=numbers,
        level=f"the finest of {levels} levels" if levels > 1 else "",
        pixel_size_um=_pixel_size_um(layer),
        placement=_placement(layer, numbers),
    )


def refuse_apart(image: Plane, labels: Plane, *, name: str) -> None:
    """Refuse labels that do not lie on the pixels of the image.

    Args:
        image: a plane.
        labels: a plane of labels.
        name: of the labels' layer.

    Raises:
        DataError: they differ in size or place; names both.
    """
    if image.size != labels.size:
        raise DataError(
            f"{name} has {labels.size[0]} x {labels.size[1]} pixels and {image.name} {image.size[0]} x "
            f"{image.size[1]}: {REMEDY}"
        )
    ours, theirs = (_plane_to_world(plane) for plane in (image, labels))
    same_units = image.placement["units"][-2:] == labels.placement["units"][-2:]
    if same_units and not all(np.allclose(a, b, rtol=1e-4, atol=1e-3) for a, b in zip(ours, theirs, strict=True)):
        raise DataError(
            f"{name} lies elsewhere than {image.name}, or at another scale: choose the image that was labelled"
        )


def _plane_to_world(plane: Plane) -> tuple[np.ndarray, np.ndarray]:
    """Give scale and place of a plane on the last two axes, in pixels of its own."""
    scale = np.asarray(plane.placement["scale"])[-2:]
    return scale, np.asarray(plane.placement["translate"])[-2:] / scale


def _placement(layer: Image | Labels, numbers: tuple[int, ...]) -> dict[str, Any]:
    from napari.utils.transforms import Affine

    linear = Affine(scale=layer.scale, rotate=layer.rotate, shear=layer.shear, ndim=layer.ndim)
    shift = np.asarray(linear((*numbers, 0, 0)))
    return {
        "scale": layer.scale,
        "rotate": layer.rotate,
        "shear": layer.shear,
        "translate": np.asarray(layer.translate) + shift,
        "affine": layer.affine,
        "units": layer.units,
        "axis_labels": layer.axis_labels,
    }


def _pixel_size_um(layer: Image | Labels) -> tuple[float, float] | None:
    import pint

    try:
        height, width = (
            float((abs(step) * unit).to("micrometer").magnitude)
            for step, unit in zip(layer.scale[-2:], layer.units[-2:], strict=True)
        )
    except (pint.DimensionalityError, pint.UndefinedUnitError):
        return None
    return height, width
