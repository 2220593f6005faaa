from .autocast import CPUAutocastInferer
from .diameter_estimate import DiameterEstimator
from .mirrored import MirroredInferer
from .size_normalised import SizeNormalisedInferer
from .windows import WindowInferer

__all__ = [
    "CPUAutocastInferer",
    "DiameterEstimator",
    "MirroredInferer",
    "SizeNormalisedInferer",
    "WindowInferer",
]
