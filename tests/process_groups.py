"""Run a function in several processes that are joined, as torchrun joins them."""

import socket
from collections.abc import Callable

import torch


def run_joined(function: Callable[..., None], *arguments: object, n_processes: int = 2) -> None:
    """Call `function(rank, *arguments)`, which can be imported, in each process of a group by Gloo."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(_join, args=(port, n_processes, function, arguments), nprocs=n_processes)


def _join(rank: int, port: int, n_processes: int, function: Callable[..., None], arguments: tuple) -> None:
    torch.set_num_threads(1)
    method = f"tcp://127.0.0.1:{port}"
    torch.distributed.init_process_group("gloo", init_method=method, rank=rank, world_size=n_processes)
    function(rank, *arguments)
    torch.distributed.destroy_process_group()
