"""Run a function in several processes that are joined, as torchrun joins them."""

import multiprocessing
import socket
from collections.abc import Callable

import torch

# Processes are forked from one that has imported what takes seconds, once for all tests, and has run nothing.
START_METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
IMPORTED_ONCE = ["monai.engines", "monai.losses", "medseg_ext.networks.mask_rcnn"]


def run_joined(function: Callable[..., None], *arguments: object, n_processes: int = 2) -> None:
    """Call `function(rank, *arguments)`, which can be imported, in each process of a group by Gloo."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.set_forkserver_preload(IMPORTED_ONCE)
    torch.multiprocessing.start_processes(
        _join, (port, n_processes, function, arguments), nprocs=n_processes, start_method=START_METHOD
    )


def _join(rank: int, port: int, n_processes: int, function: Callable[..., None], arguments: tuple) -> None:
    torch.set_num_threads(1)
    method = f"tcp://127.0.0.1:{port}"
    torch.distributed.init_process_group("gloo", init_method=method, rank=rank, world_size=n_processes)
    function(rank, *arguments)
    torch.distributed.destroy_process_group()
