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
CHANGES = (  # options of python-minifier for more than spaces, lines and local names
    *("combine_imports", "constant_folding", "convert_posargs_to_args", "hoist_literals"),
    *("preserve_shebang", "remove_annotations", "remove_builtin_exception_brackets"),
    *("remove_explicit_return_none", "remove_literal_statements", "remove_object_base"),
    "remove_pass",
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
    public = names_for_users({one.filename: text for one, text in members.items()})
    contents = {
        member: packed(content.decode(), public) if is_bare(member.filename) else content
        for member, content in members.items()
        if not member.filename.endswith(".dist-info/top_level.txt")
    }
    [record] = [member for member in contents if member.filename.endswith(".dist-info/RECORD")]
    lines = [line_of(one.filename, text) for one, text in contents.items() if one is not record]
    contents[record] = "".join([*lines, f"{record.filename},,\n"]).encode()
    with zopfli.ZipFile(path, "w", compression=ZIP_DEFLATED) as archive:
        for member, content in contents.items():
            archive.writestr(member, content)


def names_for_users(files):
    """Return the names that packages hand on, and of the classes that these are made from."""
    names, bases = set(), {}
    for path, content in files.items():
        *_, folder, file = ["", *path.split("/")]
        if file == "__init__.py" and folder not in INTERNAL:
            names.update(re.findall(r'"(\w+)"', content.decode()))  # keys of _MODULE_OF
        for node in ast.walk(ast.parse(content)) if is_bare(path) else ():
            if isinstance(node, ast.ClassDef):
                bases[node.name] = {one.id for one in node.bases if isinstance(one, ast.Name)}
    while found := {base for name in names for base in bases.get(name, ())} - names:
        names |= found
    return names


def is_bare(name):
    """Return whether a file of the wheel has its statements alone, closely written."""
    return name.endswith(".py") and not name.startswith("autorec_np/core/")


def packed(source, public):
    """Return Python source as the wheel has it."""
    import python_minifier

    statements_stay = dict.fromkeys(CHANGES, False)
    return python_minifier.minify(bare(source, public), **statements_stay).encode()


def bare(source, public):
    """Return the statements of Python source, without docstrings and types of what is internal.

    Internal are functions and classes of the module whose names are not in `public`, methods of
    such classes, functions whose names begin with one underscore, and those within others.
    """
    tree = ast.parse(source)
    for node in internal(tree, public):
        if ast.get_docstring(node) and len(node.body) > 1:
            node.body.pop(0)
        if isinstance(node, ast.FunctionDef) and not is_registered(node):
            drop_types(node)
    drop_imports(tree, names_in(ast.parse(source)) - names_in(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (
            docstring := ast.get_docstring(node)
        ):
            node.body[0].value.value = docstring  # without its margin
    return ast.unparse(tree)


def internal(module, public):
    """Return the functions, classes and methods of a module that are internal."""
    functions = {node for node in ast.walk(module) if isinstance(node, ast.FunctionDef)}
    within = {one for node in functions for one in ast.walk(node) if one is not node}
    on_top = [node for node in module.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    hidden = {one for node in on_top if node.name not in public for one in ast.walk(node)}
    private = {node for node in functions if re.match("_(?!_)", node.name)}
    return {*hidden.intersection(functions.union(on_top)), *functions & within, *private}


def is_registered(function):
    """Return whether `singledispatch` reads the types of a function."""
    return any("register" in ast.unparse(decorator) for decorator in function.decorator_list)


def names_in(tree):
    """Return the names that statements use, also in texts such as those of types."""
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return names.union(*(re.findall(r"\w+", text) for text in texts if isinstance(text, str)))


def drop_imports(tree, names):
    """Leave out names that a module imports."""
    for block in ast.walk(tree):
        statements = getattr(block, "body", None)
        for node in list(statements) if isinstance(statements, list) else ():
            if isinstance(node, ast.ImportFrom | ast.Import):
                node.names = [one for one in node.names if (one.asname or one.name) not in names]
                if not node.names:
                    statements[statements.index(node)] = ast.Pass()


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
