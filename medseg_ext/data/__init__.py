"""Prepare data sets, list their images, and draw small synthetic ones."""

from medseg_ext.data.balance import balancing_weights
from medseg_ext.data.collate import collate_same_size
from medseg_ext.data.datalist import list_images, load_class_names, load_datalist, read_dataset_json
from medseg_ext.data.errors import DataError

__all__ = [
    "DataError",
    "balancing_weights",
    "collate_same_size",
    "list_images",
    "load_class_names",
    "load_datalist",
    "read_dataset_json",
]
