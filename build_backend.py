"""The build backend: that of setuptools, whose wheel is packed as tightly as DEFLATE allows."""

import base64
import hashlib
import io
import tokenize
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    """Build the wheel (PEP 517); return its name."""
    name = build_meta.build_wheel(wheel_directory, config_settings, metadata_directory)
    pack(Path(wheel_directory, name))
    return name


def pack(path):
    """Write a wheel anew, compressed by Zopfli, without top_level.txt and most comments.

    The lesson keeps its comments; elsewhere they are read in the source, whose lines have the same
    numbers.
    """
    import zopfli  # an editable install and a source package do without

    with ZipFile(path) as archive:
        members = {member: archive.read(member) for member in archive.infolist()}
    contents = {
        member: without_comments(content) if is_bare(member.filename) else content
        for member, content in members.items()
        if not member.filename.endswith(".dist-info/top_level.txt")
    }
    [record] = [member for member in contents if member.filename.endswith(".dist-info/RECORD")]
    lines = [line_of(one.filename, text) for one, text in contents.items() if one is not record]
    contents[record] = "".join([*lines, f"{record.filename},,\n"]).encode()
    with zopfli.ZipFile(path, "w", compression=ZIP_DEFLATED) as archive:
        for member, content in contents.items():
            archive.writestr(member, content)


def is_bare(name):
    """Return whether a file of the wheel is there without its comments."""
    return name.endswith(".py") and not name.startswith("autorec_np/core/")


def without_comments(content):
    """Return Python source with nothing in the place of each comment; no line is lost."""
    lines = content.decode().splitlines(keepends=True)
    for token in tokenize.generate_tokens(io.StringIO(content.decode()).readline):
        if token.type == tokenize.COMMENT:
            row, start = token.start[0] - 1, token.start[1]
            lines[row] = lines[row][:start].rstrip() + "\n"
    return "".join(lines).encode()


def line_of(name, content):
    """Return the line of a file in RECORD (PEP 376)."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(content)}\n"
