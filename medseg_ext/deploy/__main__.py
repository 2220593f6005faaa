"""Run the application: `python -m medseg_ext.deploy -i IMAGES -o OUT -m model.ts`."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the application with the arguments of this process; returns the exit status."""
    try:
        from medseg_ext.deploy.app import main as run
    except ModuleNotFoundError as error:
        if not str(error.name).startswith("monai.deploy"):
            raise
        print(
            "error: the MONAI Deploy App SDK is not installed: install this project with its extra `deploy`, or "
            "use the environment that `make test-deploy` makes",
            file=sys.stderr,
        )
        return 2
    return run(sys.argv)


if __name__ == "__main__":
    sys.exit(main())
