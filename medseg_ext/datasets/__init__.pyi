from .balance import balancing_weights
from .check import check_data_set
from .collate import collate_same_size
from .data_set_folder import load_class_names, load_datalist, read_dataset_json
from .dsb2018 import prepare_dsb2018
from .epoch_batches import EpochBatches
from .image_list import list_images
from .own_data import prepare_own_data
from .readable_images import ReadableImages
from .seeded_cache import SeededCacheDataset
from .segpc2021 import prepare_segpc2021

__all__ = [
    "EpochBatches",
    "ReadableImages",
    "SeededCacheDataset",
    "balancing_weights",
    "check_data_set",
    "collate_same_size",
    "list_images",
    "load_class_names",
    "load_datalist",
    "prepare_dsb2018",
    "prepare_own_data",
    "prepare_segpc2021",
    "read_dataset_json",
]
