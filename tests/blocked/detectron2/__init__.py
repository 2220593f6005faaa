"""Stand in Detectron2's way: with `PYTHONPATH=tests/blocked` it is as if it were not installed."""

raise ModuleNotFoundError("No module named 'detectron2' (tests/blocked)", name="detectron2")
