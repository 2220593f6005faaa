"""Tell the processes of a multi-GPU run apart."""

from __future__ import annotations

import torch.distributed


def is_first_process() -> bool:
    """Say whether this process is the one that writes files: the only one, or that of rank 0."""
    return not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0
