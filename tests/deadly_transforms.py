"""A transform that fails, or kills its process, where an image's name says so."""

import os
import signal
from pathlib import Path
from typing import Any


class FailByName:
    """Raise for `raising*`, and kill the process for `deadly*`."""

    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        name = Path(data["image"].meta["filename_or_obj"]).name
        if name.startswith("raising"):
            raise ValueError("as its name says")
        if name.startswith("deadly"):
            os.kill(os.getpid(), signal.SIGKILL)
        return data
