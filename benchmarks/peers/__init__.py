"""What others do, in an environment of their own: `make bench-peers`."""
