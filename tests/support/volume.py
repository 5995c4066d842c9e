"""A folder that becomes a small volume of its own, which can be filled up."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class Volume:
    """A mounted file system of a fixed size."""

    def __init__(self, folder: Path) -> None:
        self._filler = folder / "filler"

    def fill(self) -> None:
        """Take what room is left, to the last block."""
        with self._filler.open("ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def make_room(self) -> None:
        """Give it back."""
        self._filler.unlink()


@contextmanager
def small_volume(folder: Path, spare: int) -> Iterator[Volume]:
    """The folder, with what it holds, on a volume that has `spare` bytes left; skips where none
    can be mounted. Who uses it has to be stopped meanwhile, before and after."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("a volume of a fixed size is mounted by root, on Linux")
    owner = folder.stat()
    aside = folder.with_name(f"{folder.name}.aside")
    folder.rename(aside)
    folder.mkdir()
    try:
        used = sum(path.lstat().st_blocks * 512 for path in aside.rglob("*"))
        options = f"size={used + spare},mode=700,uid={owner.st_uid},gid={owner.st_gid}"
        command = ["mount", "-t", "tmpfs", "-o", options, "waymark-test", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no volume can be mounted here: {done.stderr.strip()}")
        try:
            subprocess.run(["cp", "-a", f"{aside}/.", str(folder)], check=True)
            yield Volume(folder)
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
    finally:
        folder.rmdir()
        aside.rename(folder)
        shutil.rmtree(aside, ignore_errors=True)
