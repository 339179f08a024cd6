"""The build backend: that of setuptools, whose wheel is packed as tightly as DEFLATE allows."""

import ast
import base64
import hashlib
import re
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403

INTERNAL = ("core", "engine", "training")  # packages that hand on to other floors alone
CHANGES = (  # options of python-minifier for more than spaces and lines
    *("combine_imports", "constant_folding", "convert_posargs_to_args", "hoist_literals"),
    *("preserve_shebang", "remove_annotations", "remove_builtin_exception_brackets"),
    *("remove_explicit_return_none", "remove_literal_statements", "remove_object_base"),
    *("remove_pass", "rename_locals"),
)


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
    import zopfli

    with ZipFile(path) as archive:
        members = {member: archive.read(member) for member in archive.infolist()}
    packages = b" ".join(text for one, text in members.items() if hands_on(one.filename))
    public = {*re.findall(r'"(\w+)"', packages.decode())}  # keys of _MODULE_OF
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


def hands_on(name):
    """Return whether a file of the wheel says which names users find in a package."""
    *_, folder, file = ["", *name.split("/")]
    return file == "__init__.py" and folder not in INTERNAL


def is_bare(name):
    """Return whether a file of the wheel has its statements alone."""
    return name.endswith(".py") and not name.startswith("autorec_np/core/")


def bare(source, public):
    """Return the statements of Python source, without internal docstrings and types of arguments.

    Internal are functions and classes of the module whose names are not in `public`, functions
    whose names begin with one underscore, and those within others.
    """
    import python_minifier

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
    statements_stay = dict.fromkeys(CHANGES, False)
    return python_minifier.minify(ast.unparse(tree), **statements_stay).encode()


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


def line_of(name, content):
    """Return the line of a file in RECORD (PEP 376)."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(content)}\n"
