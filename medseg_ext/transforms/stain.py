"""Vary the stain of an image."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform
from skimage.color import hed_from_rgb, rgb_from_hed

from medseg_ext.images.channels import Choice, is_list, n_channels_read


def scale_stains(image: torch.Tensor, *, factors: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    """Scale and shift the amounts of haematoxylin, eosin and a third stain in an image.

    Args:
        image: RGB float (3, H, W) in [0, 1], where 1 is unstained.
        factors: (3,) multipliers of the stains; 1 keeps a stain.
        offsets: (3,) optical densities that are added to the stains; 0 keeps a stain.

    Returns:
        float32 (3, H, W) in [0, 1]. With factors 1 and offsets 0, the image itself.

    Source: Ruifrok and Johnston, Quantification of histochemical staining by color deconvolution, 2001 (matrices from
        scikit-image); Tellez et al., Whole-slide mitosis detection in H&E, 2018 (as augmentation).

    >>> grey = torch.full((3, 1, 1), 0.5)
    >>> torch.allclose(scale_stains(grey, factors=torch.ones(3), offsets=torch.zeros(3)), grey, atol=1e-5)
    True
    """
    to_stains = torch.as_tensor(hed_from_rgb, dtype=torch.float32)
    to_density = torch.as_tensor(rgb_from_hed, dtype=torch.float32)
    # A row vector of densities times M is the same as M's transpose times a column, here a pixel.
    change = to_density.T @ torch.diag(factors) @ to_stains.T
    density = -torch.log(image.float().clamp(min=1e-4))
    density = torch.einsum("ij,jhw->ihw", change, density) + (to_density.T @ offsets)[:, None, None]
    return torch.exp(-density).clamp(0, 1)


class RandStainJitterd(RandomizableTransform, MapTransform):
    """Vary at random the amount of each stain; a grey image gets a slight tint. Of a list each channel is a stain.

    Args:
        keys: RGB images, float (3, H, W) in [0, 1], or of a list of channels (C, H, W).
        prob: probability that an image is changed.
        factor_range: each stain is multiplied by a value drawn from 1 ± this.
        offset_range: and shifted by an optical density drawn from 0 ± this; a channel by a value.
        channel: as which the images were read, see `medseg_ext.images.read_rgb`.
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        prob: float = 0.5,
        factor_range: float = 0.2,
        offset_range: float = 0.05,
        channel: Choice = None,
    ) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)
        self.factor_range = factor_range
        self.offset_range = offset_range
        self.apart, self.n_stains = is_list(channel), n_channels_read(channel)

    def randomize(self, data: object = None) -> None:
        """Draw whether and how to change the next image."""
        super().randomize(None)
        self._factors = 1 + self.R.uniform(-self.factor_range, self.factor_range, self.n_stains)
        self._offsets = self.R.uniform(-self.offset_range, self.offset_range, self.n_stains)

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        """Return the data with its images changed alike."""
        result = dict(data)
        self.randomize()
        if not self._do_transform:
            return result
        factors, offsets = (torch.from_numpy(each.astype(np.float32)) for each in (self._factors, self._offsets))
        for key in self.key_iterator(result):
            if self.apart:
                result[key] = (result[key] * factors[:, None, None] + offsets[:, None, None]).clamp(0, 1)
            else:
                result[key] = scale_stains(result[key], factors=factors, offsets=offsets)
        return result
