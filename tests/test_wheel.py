"""The wheel carries the configs, and trains outside the clone."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_wheel_trains_outside_the_clone(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    subprocess.run([*build, "--directory", str(tmp_path)], cwd=ROOT, check=True)
    [wheel] = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for folder, source in (("conf", ROOT / "conf"), ("template", ROOT / "src/seqfuse/template")):
        place = f"seqfuse/{folder}/"
        packed = {name.removeprefix(place) for name in names if name.startswith(place)}
        kept = (path for path in source.rglob("*") if path.is_file() and path.suffix != ".pyc")
        assert packed == {path.relative_to(source).as_posix() for path in kept}
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    code = (
        "import seqfuse, seqfuse.config.cli, seqfuse.train, sys\n"
        f"assert seqfuse.config.cli.CONF.is_relative_to({str(site)!r}), seqfuse.config.cli.CONF\n"
        "sys.argv = ['seqfuse-train', 'debug=fast', 'trainer=cpu']\n"
        "seqfuse.train.main()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "test/accuracy" in done.stdout
