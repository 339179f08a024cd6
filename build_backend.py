"""The build backend: that of setuptools, whose wheel is packed as tightly as DEFLATE allows."""

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
    """Write a wheel anew, compressed by Zopfli, without top_level.txt: RECORD says as much."""
    import zopfli  # an editable install and a source package do without

    with ZipFile(path) as archive:
        members = [(member, archive.read(member)) for member in archive.infolist()]
    with zopfli.ZipFile(path, "w", compression=ZIP_DEFLATED) as archive:
        for member, content in members:
            if member.filename.endswith(".dist-info/RECORD"):
                lines = content.splitlines(keepends=True)
                content = b"".join(line for line in lines if b"/top_level.txt," not in line)
            if not member.filename.endswith(".dist-info/top_level.txt"):
                archive.writestr(member, content)
