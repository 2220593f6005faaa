from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from medseg_ext import processes
from medseg_ext.errors import DataError


def test_a_single_process_is_a_group_of_one():
    assert (processes.n_processes(), processes.process_rank(), processes.is_first_process()) == (1, 0, True)
    assert processes.gather_objects("a") == ["a"]
    assert processes.mean_over_processes(0.5) == 0.5
    assert processes.made_by_first_process(lambda: "a") == "a"


def test_the_overlay_without_torchrun_says_how_to_start_it(monkeypatch):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    with pytest.raises(DataError, match="begin with torchrun --nproc-per-node 2"):
        processes.local_rank()


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("cuda:0", "--device cuda:0: each process takes a GPU of its own; leave --device out"),
        ("cuda", "this machine has 1 GPU, fewer than the processes .*: give --nproc-per-node 1, or --device cpu"),
    ],
)
def test_processes_that_would_share_a_gpu_are_refused(monkeypatch, device, message):
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(DataError, match=message):
        processes.join_processes(device)
    assert not torch.distributed.is_initialized()


def test_processes_that_are_started_again_agree_on_a_new_name_in_the_store_of_those_before():
    """Of which one had not come so far, or had only asked. Threads play the processes."""
    store = torch.distributed.HashStore()
    store.set("asks/2", "of one that was killed")
    tokens = []
    for count in (3, 3, 2):
        with ThreadPoolExecutor(count) as pool:
            agreed = set(
                pool.map(lambda rank, count=count: processes._agree_on_a_token(store, rank, count), range(count))
            )
        assert len(agreed) == 1
        tokens += agreed
    assert len(set(tokens)) == 3
