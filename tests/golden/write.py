"""Writes the golden values anew: `python -m tests.golden.write [experiment ...]`.

Only where numbers are meant to change. On a machine of another kind than the one in the files,
write them at the commit before first, so that both are from one machine.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

from tests.golden.runs import EXPERIMENTS, VALUES, machine, values


def main() -> None:
    """Writes those of the named experiments, or of all."""
    data = Path(os.environ["SEQFUSE_DATA"]).absolute()
    for name in sys.argv[1:] or EXPERIMENTS:
        with tempfile.TemporaryDirectory() as folder:
            found = {"machine": machine(), **values(name, data, Path(folder))}
        text = json.dumps(found, indent=1, ensure_ascii=False)
        (VALUES / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
