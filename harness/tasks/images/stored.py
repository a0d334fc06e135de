"""Where one image lies: its bytes are read, and its pixels made, when somebody asks for them."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from harness.errors import UserError
from harness.untrusted import WRONG, said

MODE = "RGB"  # of every image that a model sees, also of a grey one
WIDE = {"I", "I;16", "I;16B", "I;16L"}  # grey with 16 bits, which Pillow would cut at 255


class Stored(Protocol):
    """One image that is somewhere."""

    @property
    def where(self) -> str:
        """Name the place, for messages."""

    def read(self) -> bytes:
        """Return the bytes that the image is made of, as they are stored.

        Raises:
            UserError: they cannot be had.
        """

    def checked(self) -> bytes:
        """Return the bytes, looked at without decoding: most faults show before a run.

        Raises:
            UserError: they cannot be had, or do not begin as an image does.
        """

    def image(self) -> Any:
        """Return a Pillow image in RGB.

        Raises:
            UserError: the bytes are none of an image.
        """


class _Encoded:
    """Bytes of a PNG, a JPEG or another file that Pillow knows."""

    def checked(self: Any) -> bytes:
        """Look at the header; of a PNG at all checksums."""
        pillow, data = pillow_image(), self.read()
        with _explained(pillow, self.where), pillow.open(io.BytesIO(data)) as image:
            image.verify()
        return bytes(data)

    def image(self: Any) -> Any:
        """Decode the bytes."""
        return decoded(self.read(), self.where)


@dataclass(frozen=True)
class InFile(_Encoded):
    """A file."""

    path: Path

    @property
    def where(self) -> str:
        """The path."""
        return str(self.path)

    def read(self) -> bytes:
        """Return the file."""
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise UserError(f"{self.path}: {error.strerror}") from None


@dataclass(frozen=True)
class InZip(_Encoded):
    """A member of a zip archive."""

    archive: Path
    name: str

    @property
    def where(self) -> str:
        """The archive and the member."""
        return f"{self.archive}: {self.name}"

    def read(self) -> bytes:
        """Return the member."""
        try:
            return open_zip(self.archive).read(self.name)
        except (*WRONG, zipfile.BadZipFile) as error:
            raise UserError(f"{self.where}: cannot be read: {said(error)}") from None


@dataclass(frozen=True)
class InTable(_Encoded):
    """A cell of a table of the datasets library, which holds bytes, or the path of a file."""

    table: Any
    column: str
    index: int
    source: str

    @property
    def where(self) -> str:
        """The table and the row, from 1."""
        return f"{self.source}, row {self.index + 1}"

    def read(self) -> bytes:
        """Return the bytes of the cell."""
        value = self.table[self.index][self.column]
        if isinstance(value, Mapping) and value.get("bytes"):
            return bytes(value["bytes"])
        if isinstance(value, Mapping) and value.get("path"):
            return InFile(Path(value["path"])).read()
        raise UserError(f"{self.where}, column {self.column!r}: no image")


@dataclass(frozen=True)
class Raw:
    """Pixels as plain bytes at a place of a file: one plane, or red, green and blue one by one.

    Attributes:
        file: the whole of it, uncompressed.
        offset: of the first byte.
        planes, height, width: one byte each pixel and plane.
        source, index: name the image in messages.
    """

    file: bytes
    offset: int
    planes: int
    height: int
    width: int
    source: str
    index: int

    @property
    def where(self) -> str:
        """The file and the image's number in it, from 1."""
        return f"{self.source}, image {self.index + 1}"

    def read(self) -> bytes:
        """Return the pixels."""
        return self.file[self.offset : self.offset + self.planes * self.height * self.width]

    def checked(self) -> bytes:
        """Return the pixels: any byte is one."""
        return self.read()

    def image(self) -> Any:
        """Put the planes together."""
        pillow, size, pixels = pillow_image(), (self.width, self.height), self.read()
        area = self.width * self.height
        planes = [
            pillow.frombytes("L", size, pixels[i * area : (i + 1) * area])
            for i in range(self.planes)
        ]
        return pillow.merge(MODE, planes) if self.planes > 1 else planes[0].convert(MODE)


def decoded(data: bytes, where: str) -> Any:
    """Return the image of these bytes in RGB, turned as its EXIF says.

    Raises:
        UserError: they are none, or not whole; the message starts with `where`.
    """
    pillow = pillow_image()
    from PIL import ImageOps

    with _explained(pillow, where), pillow.open(io.BytesIO(data)) as image:
        upright = ImageOps.exif_transpose(image)
        if upright.mode in WIDE:
            upright = upright.convert("I").point(lambda value: value / 256).convert("L")
        return upright.convert(MODE)


@contextmanager
def _explained(pillow: Any, where: str) -> Iterator[None]:
    """Turn whatever Pillow raises on bytes of anybody's into one error with its place."""
    try:
        yield
    except (*WRONG, SyntaxError, pillow.DecompressionBombError) as error:
        raise UserError(f"{where}: no image that Pillow can read: {said(error)}") from None


def pillow_image() -> Any:
    """Return Pillow's module of images.

    Raises:
        UserError: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError:
        raise UserError(
            "images need Pillow, which is not installed: pip install 'headroom-bench[vision]'"
        ) from None
    return Image


def open_zip(archive: Path) -> zipfile.ZipFile:
    """Return an open zip archive.

    Raises:
        UserError: it is none.
    """
    try:
        # A forked process reads through a handle of its own: a shared one has one position.
        return _open_zip(archive, os.getpid())
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{archive}: no zip archive: {said(error)}") from None


@lru_cache(maxsize=8)
def _open_zip(archive: Path, _process: int) -> zipfile.ZipFile:
    return zipfile.ZipFile(archive)
