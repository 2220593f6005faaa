"""Know the processes of a run that `torchrun` started, and exchange what they have; a single one is a group of one."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from medseg_ext.errors import DataError

Value = TypeVar("Value")


def n_processes() -> int:
    """Say how many processes the run has."""
    return dist.get_world_size() if dist.is_initialized() else 1


def process_rank() -> int:
    """Say which of them this one is, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_first_process() -> bool:
    """Say whether this process is the one that writes files: the only one, or that of rank 0."""
    return process_rank() == 0


def local_rank() -> int:
    """Say which of the processes of this machine this one is, from 0.

    Raises: DataError: `torchrun` did not start it.
    """
    try:
        return int(os.environ["LOCAL_RANK"])
    except KeyError:
        raise DataError(
            "the overlay for several processes wants to be started by torchrun: leave it out of --config_file, or "
            "begin with torchrun --nproc-per-node 2 -m monai.bundle"
        ) from None


def join_processes(device: torch.device | str) -> None:
    """Join the other processes, by NCCL on GPUs and by Gloo on CPUs; a GPU becomes this process's current one.

    Args:
        device: where this process works; "cuda" is the GPU of its own number.

    Raises:
        DataError: all processes would share one GPU, or the machine has fewer GPUs than processes.
    """
    device = torch.device(device)
    if device.type == "cuda":
        number, count = local_rank(), torch.cuda.device_count()
        if device.index not in (None, number):
            raise DataError(f"--device {device}: each process takes a GPU of its own; leave --device out")
        if number >= count:
            raise DataError(
                f"this machine has {count} GPU{'' if count == 1 else 's'}, fewer than the processes that torchrun "
                f"started on it: give --nproc-per-node {count}, or --device cpu"
            )
        torch.cuda.set_device(number)
    if not dist.is_initialized():
        dist.init_process_group(backend=dist.get_default_backend_for_device(device))


def gather_objects(value: Value) -> list[Value]:
    """Collect what each process has, in the order of their ranks; every process must call it."""
    if n_processes() == 1:
        return [value]
    values: list[Any] = [None] * n_processes()
    dist.all_gather_object(values, value)
    return values


def mean_over_processes(value: float) -> float:
    """Give the mean of what each process has; every process must call it."""
    return sum(gather_objects(value)) / n_processes()


def made_by_first_process(make: Callable[[], Value]) -> Value:
    """Give every process what the first one makes, such as the content of a file; every process must call it.

    Raises:
        Exception: what `make` raised in the first process, in all of them.
    """
    if n_processes() == 1:
        return make()
    made: list[Any] = [None, None]
    if is_first_process():
        try:
            made = [make(), None]
        except Exception as error:
            made = [None, error]
    dist.broadcast_object_list(made, src=0)
    if made[1] is not None:
        raise made[1]
    return made[0]
