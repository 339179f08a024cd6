"""How light the package is: its import, its wheel."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.harness import Measurement, Result, Setting

REPOSITORY = Path(__file__).resolve().parents[2]
IMPORTS = {
    "from autorec_np import AutoRec": "autorec_np",
    "import torch": "torch",
    "import surprise": "surprise",
    "import implicit": "implicit",
    "import cornac": "cornac",
    "import lenskit": "lenskit",
}
PROGRAM = """
import time, warnings
warnings.simplefilter("ignore")
import numpy, scipy.sparse, scipy.special
started = time.perf_counter()
{}
print(time.perf_counter() - started)
"""


def run(setting: Setting) -> Result:
    """Time imports in fresh processes, in turns, and build the wheel."""
    statements = dict(list(IMPORTS.items())[:1]) if setting.quick else IMPORTS
    measurements = {statement: Measurement(statement) for statement in statements}
    absent: dict[str, str] = {}
    for _ in range(3 if setting.quick else 10):
        for statement, name in statements.items():
            if name in absent:
                continue
            program = [sys.executable, "-c", PROGRAM.format(statement)]
            done = subprocess.run(program, capture_output=True, text=True, cwd=REPOSITORY)
            if done.returncode:
                absent[name] = done.stderr.strip().splitlines()[-1]
                del measurements[statement]
            else:
                measurements[statement].seconds.append(float(done.stdout.split()[-1]))
    sizes = []
    try:
        sizes.append(Measurement("the wheel", figures={"kB": wheel_size() / 1e3}))
    except subprocess.CalledProcessError as error:
        absent["the wheel"] = error.stderr.decode().strip().splitlines()[-1]
    note = "Seconds beyond `import numpy, scipy.sparse, scipy.special`, in fresh processes."
    return Result([*measurements.values(), *sizes], absent, [note])


def wheel_size() -> int:
    """Return the bytes of the wheel that a copy of the repository gives."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "source")
        ignored = shutil.ignore_patterns(".*", "*.egg-info", "build", "__pycache__", "results*")
        shutil.copytree(REPOSITORY, source, ignore=ignored)
        command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", folder, str(source)]
        subprocess.run(command, check=True, capture_output=True)
        (wheel,) = Path(folder).glob("*.whl")
        return wheel.stat().st_size
