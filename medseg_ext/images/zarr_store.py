"""Let zarr read what is at an address."""

from __future__ import annotations

from typing import Any

from zarr.storage import FsspecStore

from medseg_ext.addresses import PathLike
from medseg_ext.object_stores import filesystem_at, is_refusal

METADATA = ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")


class AddressedStore(FsspecStore):
    """A Zarr at an address, to be read.

    Of metadata, a refusal is taken for "not there": zarr asks for those of each version, and to whoever may not list it
    a store refuses what is not there. Of a chunk it is an error, as one that is not there has a value.

    Attributes:
        refusal: the latest one of metadata.
    """

    refusal: BaseException | None = None

    @classmethod
    def at(cls, address: PathLike) -> AddressedStore:
        """Make it. Raises: DataError: fsspec does not know the scheme, or lacks a package."""
        filesystem, path = filesystem_at(address, asynchronous=True)
        if not filesystem.async_impl:
            from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper

            filesystem = AsyncFileSystemWrapper(filesystem, asynchronous=True)
        return cls(filesystem, read_only=True, path=path.rstrip("/"))

    async def get(self, key: str, *arguments: Any, **options: Any) -> Any:
        """Give what is under a key, None where nothing is; see `zarr.abc.store.Store`."""
        try:
            return await super().get(key, *arguments, **options)
        except Exception as error:
            if key.rpartition("/")[2] in METADATA and is_refusal(error):
                self.refusal = error
                return None
            raise
