"""Bring weights of before size normalisation into the form of today's networks: `tools/reproduce.sh` calls it.

Those of the semantic networks had `network.` before the names of their tensors. Their last channel was the boundary of
objects, and is trained anew as their centre distance.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from medseg_ext.networks.weights import save_state

PREFIX = "network."


def main() -> None:
    """Rewrite the file that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    path = parser.parse_args().weights
    state = torch.load(path, map_location="cpu", weights_only=True)
    if all(name.startswith(PREFIX) for name in state):
        state = {name.removeprefix(PREFIX): tensor for name, tensor in state.items()}
    save_state(state, path)


if __name__ == "__main__":
    main()
