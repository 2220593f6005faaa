"""Cell and nucleus segmentation with MONAI: what MONAI itself lacks."""


def __getattr__(name: str) -> str:
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version  # which takes longer than all else until a command runs

    return version("medseg-ext")
