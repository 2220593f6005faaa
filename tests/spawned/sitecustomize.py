"""Start processes as macOS and Windows do; Python reads this first where the folder is on PYTHONPATH."""

import multiprocessing

multiprocessing.set_start_method("spawn")
