"""A folder that is whole or not there, and the files in it."""

import io
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from seqfuse import runtime
from seqfuse.exporting.graph import Feeds, Graph
from seqfuse.exporting.settings import check_output
from seqfuse.runtime import files, runner
from seqfuse.runtime.bundle import EXAMPLE, METADATA, digest, seal
from seqfuse.runtime.read import addresses

RUN = "run.py"
CARD = "card.md"
PACKAGE = "seqfuse_runtime"
SCRIPT = f'''"""{runner.__doc__}"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # the folder stays as it is
sys.path.insert(0, str(HERE))
try:
    from {PACKAGE} import runner
except ImportError as error:
    if __name__ != "__main__":
        raise
    raise SystemExit(f"run.py: {{error}}: type pip install numpy onnxruntime") from None
finally:
    sys.path.remove(str(HERE))
    sys.dont_write_bytecode = bytecode


def load(folder=HERE, int8=False, threads=0, **options):
    """The job of this folder, or of another one; `int8` takes the graph with weights in 8 bits."""
    return runner.load(folder, int8, threads, **options)


def main(words):
    """The command; returns its exit code."""
    return runner.main(words, HERE)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
'''


@contextmanager
def whole(name: str | Path, last: str = METADATA) -> Iterator[Path]:
    """A folder to write to, which gets its name, or is sent to its address, when all went well.

    Args:
        name: a path or an address.
        last: name of the file that is sent last.
    """
    check_output(name)
    if addresses.is_address(name):
        with tempfile.TemporaryDirectory(prefix="seqfuse-") as part:
            yield Path(part)
            check_output(name)
            addresses.put_folder(Path(part), str(name), last)
        return
    output = Path(name).resolve()  # where a link leads
    output.absolute().parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.absolute().parent))
    try:
        yield part
        check_output(output)
        if output.exists():
            output.rmdir()
        part.chmod(0o755)
        part.rename(output)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write_example(folder: Path, graph: Graph, feeds: Feeds) -> None:
    """Inputs of the graph, and what torch makes of them."""
    arrays = {name: feeds[name].numpy() for name in graph.inputs}
    arrays |= {name: output.numpy() for name, output in graph.run(feeds).items()}
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)  # type: ignore[arg-type]
    files.write(folder / EXAMPLE, content.getvalue())


def write_run(folder: Path) -> None:
    """`run.py`, and the package that it runs on: a copy of `seqfuse.runtime` by another name."""
    package = Path(runtime.__file__).parent
    for path in sorted(package.rglob("*.py")):
        copy = folder / PACKAGE / path.relative_to(package)
        copy.parent.mkdir(exist_ok=True)
        source = path.read_text(encoding="utf-8")
        files.write(copy, source.replace(runtime.__name__, PACKAGE))
    files.write(folder / RUN, SCRIPT)


def write_metadata(folder: Path, metadata: dict[str, Any]) -> None:
    """`pipeline.json`, with the hashes of all other files but the card, and its own."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    others = sorted(path for path in paths if path.name not in (METADATA, CARD))
    hashes = {path.relative_to(folder).as_posix(): digest(path.read_bytes()) for path in others}
    full = {**metadata, "files": hashes}
    full = json.loads(json.dumps(full))  # as it will be read
    text = json.dumps({**full, "seal": seal(full)}, indent=1, ensure_ascii=False)
    files.write(folder / METADATA, text + "\n")
