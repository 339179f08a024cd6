"""The build backend: that of setuptools, whose wheel is packed as tightly as DEFLATE allows."""

import ast
import base64
import hashlib
import re
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

    The lesson stays as it is. Of other modules the wheel has the statements, closely written, and
    the docstrings and types of what packages hand on. The rest is read in the source.
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
    """Return whether a file of the wheel has its statements alone."""
    return name.endswith(".py") and not name.startswith("autorec_np/core/")


def bare(source, public):
    """Return the statements of Python source, without internal docstrings and types of arguments.

    Internal are functions and classes of the module whose names are not in `public`, functions
    whose names begin with one underscore, and those within others.
    """
    tree = ast.parse(source)
    for node in internal(tree, public):
        if ast.get_docstring(node) and len(node.body) > 1:
            node.body.pop(0)
        if isinstance(node, ast.FunctionDef) and not is_registered(node):
            drop_types(node)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (
            docstring := ast.get_docstring(node)
        ):
            node.body[0].value.value = docstring  # without its margin
    return with_short_margins(ast.unparse(tree)).encode()


def internal(module, public):
    """Yield the functions, classes and methods of a module that are internal."""
    functions = [node for node in ast.walk(module) if isinstance(node, ast.FunctionDef)]
    within = {one for node in functions for one in ast.walk(node) if one is not node}
    on_top = [node for node in module.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    yield from (node for node in on_top if node.name not in public)
    for node in functions:
        if node in within or re.match("_(?!_)", node.name):
            yield node


def is_registered(function):
    """Return whether `singledispatch` reads the types of a function."""
    return any("register" in ast.unparse(decorator) for decorator in function.decorator_list)


def drop_types(function):
    """Let the arguments and the result of a function have no types."""
    every = function.args
    for one in [*every.posonlyargs, *every.args, *every.kwonlyargs, every.vararg, every.kwarg]:
        if one is not None:
            one.annotation = None
    function.returns = None


def with_short_margins(code):
    """Return code with one space for each level of indentation."""
    lines, in_text = code.splitlines(keepends=True), set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Constant | ast.JoinedStr):
            in_text.update(range(node.lineno, node.end_lineno))
    for number, line in enumerate(lines):
        if number not in in_text:
            bare_line = line.lstrip(" ")
            lines[number] = " " * ((len(line) - len(bare_line)) // 4) + bare_line
    return "".join(line for number, line in enumerate(lines) if line.strip() or number in in_text)


def line_of(name, content):
    """Return the line of a file in RECORD (PEP 376)."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(content)}\n"
