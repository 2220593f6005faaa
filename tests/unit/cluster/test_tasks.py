import pytest

pytest.importorskip("distributed")
import worker_functions
from distributed import Client, LocalCluster

from medseg_ext.cluster.connection import start_workers
from medseg_ext.cluster.tasks import PER_THREAD, Task, run_tasks

THREADS = 2


@pytest.fixture(scope="module")
def client():
    cluster = LocalCluster(processes=False, n_workers=1, threads_per_worker=THREADS, dashboard_address="127.0.0.1:0")
    with cluster, Client(cluster) as client:
        yield client


class Record:
    """Make tasks, and note what becomes of them."""

    def __init__(self) -> None:
        self.made, self.taken, self.given_up = [], [], []
        self.most_ahead = 0

    def tasks(self, numbers, function=worker_functions.double, follow=lambda number: ()):
        def task(number):
            def take(result):
                self.taken.append(number)
                assert result == 2 * number
                return follow(number)

            return Task(function, (number,), take, lambda reason: self.given_up.append((number, reason)))

        for number in numbers:
            self.made.append(number)
            self.most_ahead = max(self.most_ahead, len(self.made) - len(self.taken) - len(self.given_up))
            yield task(number)


def test_all_are_done_and_few_are_waiting_at_any_time(client):
    record = Record()
    run_tasks(client, record.tasks(range(100)), threads=lambda: THREADS)
    assert sorted(record.taken) == list(range(100))
    assert record.most_ahead <= PER_THREAD * THREADS


def test_what_follows_from_a_task_is_done_before_others_begin(client):
    record = Record()
    tiles = Record()
    images = record.tasks(range(10), follow=lambda number: tiles.tasks(range(100, 108)) if number == 0 else ())
    run_tasks(client, images, threads=lambda: THREADS)
    assert sorted(tiles.taken) == list(range(100, 108))
    assert len(record.taken) == 10

    started = Record()
    chain = started.tasks([0], follow=lambda number: started.tasks([1], follow=lambda number: started.tasks([2])))
    run_tasks(client, chain, threads=lambda: THREADS)
    assert started.taken == [0, 1, 2]


def test_an_error_ends_the_run_and_what_waits_is_taken_back(client):
    record = Record()
    with pytest.raises(ValueError, match="7 cannot be done"):
        run_tasks(client, record.tasks([7], worker_functions.fail), threads=lambda: THREADS)
    run_tasks(client, record.tasks([8]), threads=lambda: THREADS)
    assert record.taken == [8]


@pytest.mark.slow
def test_a_task_that_kills_its_workers_is_given_up_and_no_other():
    record, deadly = Record(), Record()

    def tasks():
        yield from deadly.tasks([0], worker_functions.die)
        yield from record.tasks(range(20))
        yield from deadly.tasks([1], worker_functions.die)

    with start_workers(2) as connection:
        run_tasks(connection.client, tasks(), threads=connection.threads)
    assert sorted(record.taken) == list(range(20))
    assert record.given_up == []
    assert sorted(number for number, _ in deadly.given_up) == [0, 1]
    assert "died, 6 times" in deadly.given_up[0][1]
