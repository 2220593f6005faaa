"""Segment images on a Slurm cluster, whose jobs are the workers.

NOT RUN by the maintainers, who have no Slurm: written after the documentation of dask-jobqueue. `pip install
dask-jobqueue` beside `medseg-ext[dask]`, put in your queue and account, and run it where jobs may be submitted from and
where it may stay for as long as the run takes, such as in a small job of its own:

    python docs/cluster/slurm.py /shared/images --bundle dsb2018_unet --output /shared/objects --no-gallery

The images, the output, the bundles and the environment are on a file system that all nodes see under one path.
"""

import subprocess
import sys

from dask_jobqueue import SLURMCluster


def main() -> int:
    """Start workers, segment, and stop them; returns the exit status of `medseg segment`."""
    with SLURMCluster(
        queue="cpu",
        account="my-account",
        walltime="04:00:00",
        # A job: a node's 16 cores, in 16 workers of one core each, with 4 GB for the network and an image.
        cores=16,
        processes=16,
        memory="64GB",
        # Workers leave in good time before Slurm ends their job, so that no image is begun that would be lost.
        worker_extra_args=["--lifetime", "225m", "--lifetime-stagger", "10m"],
        # On GPUs instead, a job is one GPU: cores=1, processes=1, memory="16GB", and this line:
        # job_extra_directives=["--gres=gpu:1"],
    ) as cluster:
        cluster.adapt(minimum_jobs=1, maximum_jobs=20)
        command = ["medseg", "segment", *sys.argv[1:], "--scheduler", cluster.scheduler_address]
        return subprocess.run(command).returncode


if __name__ == "__main__":
    sys.exit(main())
