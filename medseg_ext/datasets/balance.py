"""Weigh images, so that rare kinds of microscopy are drawn more often in training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from medseg_ext.errors import DataError


def balancing_weights(datalist: Sequence[dict[str, str]], *, strength: float) -> list[float]:
    """Give each image the weight n^-strength, where n is the number of images of its kind.

    Args:
        datalist: as `load_datalist` gives it, with the `kind` of each image. Images without one are a kind.
        strength: in [0, 1]: with 0 all images are drawn equally often, with 1 all kinds are.
    Returns: a weight above 0 for each image, as `torch.utils.data.WeightedRandomSampler` takes them.
    Raises: DataError: another strength.

    >>> balancing_weights([{"kind": "a"}] * 4 + [{"kind": "b"}], strength=0.5)
    [0.5, 0.5, 0.5, 0.5, 1.0]
    """
    if not isinstance(strength, (int, float)) or not 0 <= strength <= 1:
        raise DataError(f"kind_balance is {strength!r}; it must be from 0, which balances nothing, to 1")
    kinds = [item.get("kind", "") for item in datalist]
    n_images = Counter(kinds)
    return [float(n_images[kind]) ** -strength for kind in kinds]
