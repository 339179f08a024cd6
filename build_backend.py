"""The build backend: that of setuptools, whose wheel is packed as tightly as DEFLATE allows."""

import ast
import base64
import hashlib
import io
import re
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
    """Write a wheel anew, compressed by Zopfli, without top_level.txt and what only readers need.

    The lesson stays as it is. Elsewhere comments, and docstrings and types of what no package hands
    on, are read in the source, whose lines have the same numbers.
    """
    import zopfli  # an editable install and a source package do without

    with ZipFile(path) as archive:
        members = {member: archive.read(member) for member in archive.infolist()}
    packages = [text for one, text in members.items() if one.filename.endswith("/__init__.py")]
    public = {*re.findall(r'"(\w+)"', b" ".join(packages).decode())}  # keys of _MODULE_OF
    contents = {
        member: bare(content.decode(), public) if is_bare(member.filename) else content
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
    """Return whether a file of the wheel is there without what only readers need."""
    return name.endswith(".py") and not name.startswith("autorec_np/core/")


def bare(source, public):
    """Return Python source without comments, and internal docstrings and types of arguments.

    Internal are functions and classes of the module whose names are not in `public`, methods whose
    names begin with one underscore, and functions in others. No line is lost.
    """
    lines = source.splitlines(keepends=True)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, start = token.start[0] - 1, token.start[1]
            lines[row] = lines[row][:start].rstrip() + "\n"
    nodes = [*internal(ast.parse(source), public)]
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef)]
    types = {span for function in functions for span in types_of(function, lines)}
    for row, start, end in sorted(types, reverse=True):
        lines[row] = lines[row][:start] + lines[row][end:]
    for node in nodes:
        if ast.get_docstring(node) and len(node.body) > 1:
            rows = slice(node.body[0].lineno - 1, node.body[0].end_lineno)
            lines[rows] = ["\n"] * len(lines[rows])
    return "".join(lines).encode()


def internal(module, public):
    """Yield the functions, classes and methods of a module that are internal."""
    for node in module.body:
        is_class = isinstance(node, ast.ClassDef)
        if not is_class and not isinstance(node, ast.FunctionDef):
            continue
        if node.name not in public:
            yield node
        for inner in ast.walk(node):
            if isinstance(inner, ast.FunctionDef) and inner is not node:
                is_method = is_class and inner in node.body
                if not is_method or re.match(r"_(?!_)", inner.name):
                    yield inner


def types_of(function, lines):
    """Yield (line, start, end) of types within a line; `register` reads them at run time."""
    if any("register" in ast.unparse(decorator) for decorator in function.decorator_list):
        return
    every = function.args
    for one in [*every.posonlyargs, *every.args, *every.kwonlyargs, every.vararg, every.kwarg]:
        written = one and one.annotation
        if written is not None and written.end_lineno == one.lineno:
            yield one.lineno - 1, one.col_offset + len(one.arg), written.end_col_offset
    result = function.returns
    if result is not None and result.lineno == result.end_lineno:
        row = result.lineno - 1
        yield row, lines[row].rindex(" ->", 0, result.col_offset), result.end_col_offset


def line_of(name, content):
    """Return the line of a file in RECORD (PEP 376)."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(content)}\n"
