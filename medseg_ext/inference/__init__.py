"""From images to predictions and files."""

from medseg_ext.inference.autocast import CPUAutocastInferer

__all__ = ["CPUAutocastInferer"]
