"""Put the bundles into a wheel; all else about the package stands in pyproject.toml."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

BUNDLES = Path(__file__).parent / "bundles"
PACKED = "medseg_ext/_bundles"  # where `medseg_ext.bundle.find` looks
# What a bundle is; not what runs wrote into it, such as evaluations and converted networks.
PARTS = ("LICENSE", "large_files.yml", "configs/*", "docs/*", "models/model.pt", "models/training_images.json")


def bundle_files() -> list[Path]:
    """List the files of all bundles, relative to their folder."""
    folders = [config.parents[1] for config in sorted(BUNDLES.glob("*/configs/metadata.json"))]
    found = [path for folder in folders for part in PARTS for path in sorted(folder.glob(part)) if path.is_file()]
    return [path.relative_to(BUNDLES) for path in found]


class BuildWithBundles(build_py):
    """Copy the bundles beside the modules; an editable install goes without, and finds those of the clone."""

    def run(self) -> None:  # noqa: D102
        super().run()
        for source, target in self._bundle_copies():
            self.mkpath(str(target.parent))
            self.copy_file(str(source), str(target), preserve_mode=False)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:  # noqa: D102
        return [*super().get_outputs(include_bytecode), *(str(target) for _, target in self._bundle_copies())]

    def get_source_files(self) -> list[str]:  # noqa: D102
        return [*super().get_source_files(), *(f"bundles/{path.as_posix()}" for path in bundle_files())]

    def _bundle_copies(self) -> list[tuple[Path, Path]]:
        if self.editable_mode:
            return []
        return [(BUNDLES / path, Path(self.build_lib, PACKED, path)) for path in bundle_files()]


setup(cmdclass={"build_py": BuildWithBundles})
