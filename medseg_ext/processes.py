"""Know the processes of a run that `torchrun` started, and exchange what they have; a single one is a group of one."""

from __future__ import annotations

import os
import platform
import secrets
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from medseg_ext.errors import DataError

Value = TypeVar("Value")
PATIENCE = timedelta(minutes=30)  # with processes that are still to come; PyTorch's own


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
    if dist.is_initialized():
        return
    store, rank, count = next(iter(dist.rendezvous("env://")))
    token = _agree_on_a_token(store, rank, count)
    backend = dist.get_default_backend_for_device(device)
    dist.init_process_group(backend, store=dist.PrefixStore(token, store), rank=rank, world_size=count)


def _agree_on_a_token(store: dist.Store, rank: int, count: int) -> str:
    """Agree on a name below which nothing is in a store yet.

    `torchrun` gives processes that it starts again the store of those before, with their addresses, which the new ones
    would try to reach (https://github.com/pytorch/pytorch/issues/167288). Nor do all know of having been started again.
    So the first process answers whatever asks, as long as it takes until all live ones have heard it.
    """
    token = secrets.token_hex(8)
    if rank > 0:
        store.set(f"asks/{rank}", token)
        store.wait([f"answer/{token}"], PATIENCE)
        answer = store.get(f"answer/{token}").decode()
        store.set(f"heard/{answer}/{rank}", "")
        return answer
    others = [*range(1, count)]
    deadline = time.monotonic() + PATIENCE.total_seconds()
    while others:
        if time.monotonic() > deadline:
            raise RuntimeError(f"the processes of ranks {others} have not come in {PATIENCE}: see what ended them")
        for other in others:
            if store.check([f"asks/{other}"]):
                store.set(f"answer/{store.get(f'asks/{other}').decode()}", token)
        time.sleep(0.05)
        others = [other for other in others if not store.check([f"heard/{token}/{other}"])]
    return token


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


def were_restarted() -> bool:
    """Say whether `torchrun` has started processes again, after one had failed; every process must call it.

    Those of a machine that joined later do not know of it themselves.
    """
    return any(gather_objects(int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0))


def may_be_restarted() -> bool:
    """Say whether `torchrun` would start these processes again."""
    return int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0")) > 0


def launch_id() -> str:
    """Name the launch of `torchrun` that this process is of; processes that it starts again are of the same."""
    run_id = os.environ.get("TORCHELASTIC_RUN_ID", "none")  # which is what it is where nobody gave one
    return f"{platform.node()} {os.getppid()}" if run_id == "none" else run_id
