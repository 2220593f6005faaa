from .autocast import CPUAutocastInferer
from .diameter_estimate import DiameterEstimator
from .mirrored import MirroredInferer
from .size_normalised import SizeNormalisedInferer
from .tiled import TiledInferer

__all__ = [
    "CPUAutocastInferer",
    "DiameterEstimator",
    "MirroredInferer",
    "SizeNormalisedInferer",
    "TiledInferer",
]
