from .autocast import CPUAutocastInferer
from .mirrored import MirroredInferer

__all__ = [
    "CPUAutocastInferer",
    "MirroredInferer",
]
