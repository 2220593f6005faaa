"""Draw small synthetic data sets in the raw layouts of the real ones."""

from medseg_ext.data.sample.make import make_sample

__all__ = ["make_sample"]
