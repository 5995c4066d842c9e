"""The JSON Schemas that 1EdTech publishes for Open Badges 3.0.

They may not be copied into this repository. The source package of openbadgeslib carries them, among
its own tests: it is fetched once, and kept beside the virtual environment's packages.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tarfile
from functools import cache
from importlib.metadata import version
from pathlib import Path

import pytest
from jsonschema import Draft201909Validator

FOLDER = Path(sys.prefix) / "open_badges"
PACKAGE = "openbadgeslib"
DIGEST = "aec21bf41b223ae3fcd196aa92972e3d3a6b12048f4929b2ceedd5fc54ea1eaf"
PLACE = "tests/fixtures/ob_schemas/ob_v3p0_{}_schema.json"


@cache
def validator(name: str) -> Draft201909Validator:
    """A validator of the published schema of this name; skips the test where it cannot be had."""
    release = f"{PACKAGE}-{version(PACKAGE)}"
    archive = FOLDER / f"{release}.tar.gz"
    if not archive.exists():
        _fetch()
    if not archive.exists():
        pytest.skip(f"the source package of {PACKAGE} cannot be fetched")
    assert hashlib.sha256(archive.read_bytes()).hexdigest() == DIGEST
    with tarfile.open(archive) as files:
        file = files.extractfile(f"{release}/{PLACE.format(name)}")
        assert file is not None
        schema = json.load(file)
    Draft201909Validator.check_schema(schema)
    return Draft201909Validator(schema, format_checker=Draft201909Validator.FORMAT_CHECKER)


def _fetch() -> None:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    source = ["--no-deps", "--no-binary", PACKAGE, f"--dest={FOLDER}"]
    subprocess.run([*pip, *source, f"{PACKAGE}=={version(PACKAGE)}"], check=False, timeout=300)


def assert_conforms(document: object, name: str) -> None:
    """The document fits the published schema, in every place."""
    faults = [
        f"{'/'.join(map(str, error.path))}: {error.message}"
        for error in validator(name).iter_errors(document)
    ]
    assert faults == []
