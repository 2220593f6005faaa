from .autocast import CPUAutocastInferer
from .diameter_estimate import DiameterEstimator
from .engine_inferer import EngineInferer
from .mirrored import MirroredInferer
from .size_normalised import SizeNormalisedInferer
from .tiled import TiledInferer

__all__ = [
    "CPUAutocastInferer",
    "DiameterEstimator",
    "EngineInferer",
    "MirroredInferer",
    "SizeNormalisedInferer",
    "TiledInferer",
]
