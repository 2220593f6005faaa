"""Measurements of speed, each beside another way to do the same, in one run: `make bench`."""
