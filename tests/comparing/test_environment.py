"""A second environment: other versions in front of what is installed, and nothing touched."""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path

import pytest

from harness.comparing.environment import conflicts, environment, pinned
from harness.comparing.interpreter import code_path, packages, site_folders
from harness.env import ROOT
from harness.errors import UserError


def wheel(folder: Path, name: str, version: str, *needs: str) -> Path:
    """Write a wheel with one module that knows its version."""
    folder.mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"version = {version!r}\n",
        f"{info}/METADATA": "\n".join(["Metadata-Version: 2.1", f"Name: {name}",
                                       f"Version: {version}",
                                       *(f"Requires-Dist: {need}" for need in needs), ""]),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }  # fmt: skip
    file = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
        lines = "".join(f"{path},,\n" for path in (*files, f"{info}/RECORD"))
        archive.writestr(f"{info}/RECORD", lines)
    return file


def state_of(folder: Path) -> dict[str, str]:
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with tiny 1.0, and beside 1.0, which needs it; on offer are 1.0 and 2.0."""
    offer, behind = tmp_path / "offer", tmp_path / "behind"
    for version in ("1.0", "2.0"):
        wheel(offer, "tinything", version, "tinypart>=1")
    for version in ("1.0", "2.0"):
        wheel(offer, "tinypart", version)
    needy = wheel(tmp_path / "other", "needy", "1.0", "tinything<2")
    for file in (offer / "tinything-1.0-py3-none-any.whl", needy,
                 offer / "tinypart-1.0-py3-none-any.whl"):  # fmt: skip
        zipfile.ZipFile(file).extractall(behind)
    for name in list(os.environ):
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(offer))
    return behind


def test_other_versions_in_front_of_what_is_installed(
    tmp_path: Path, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state_of(installed)
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "elsewhere"))
    python = environment(["tinything==2.0"], tmp_path / "cache", [installed])
    found = packages(python)
    # What it needs stays as it is installed, though a newer one is on offer.
    assert (found["tinything"], found["tinypart"], found["needy"]) == ("2.0", "1.0", "1.0")
    assert state_of(installed) == before
    assert not (tmp_path / "elsewhere").exists()
    [conflict] = conflicts(python)
    assert "needy 1.0 requires tinything<2" in conflict
    assert [folder.name for folder in (tmp_path / "cache").iterdir()] == [python.parents[1].name]
    # It is kept: with nothing on offer any more it is still there.
    monkeypatch.delenv("PIP_FIND_LINKS")
    assert environment(["TinyThing == 2.0"], tmp_path / "cache", [installed]) == python


def test_a_python_without_pip_gets_one(
    tmp_path: Path, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.comparing.environment._has_pip", lambda: False)
    python = environment(["tinything==2.0"], tmp_path / "cache", [installed])
    assert packages(python)["tinything"] == "2.0"


def test_a_version_that_is_not_on_offer_is_one_line(tmp_path: Path, installed: Path) -> None:
    with pytest.raises(UserError) as error:
        environment(["tinything==9.9"], tmp_path / "cache", [installed])
    assert str(error.value) == (
        "pip cannot install tinything==9.9: No matching distribution found for tinything==9.9"
    )
    assert list((tmp_path / "cache").iterdir()) == []


def test_versions_that_do_not_go_together_are_named(tmp_path: Path, installed: Path) -> None:
    wheel(tmp_path / "offer", "tinything", "3.0", "tinypart>=2")
    with pytest.raises(UserError) as error:
        environment(["tinything==3.0", "tinypart==1.0"], tmp_path / "cache", [installed])
    assert "tinything 3.0 depends on tinypart>=2" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text", ["transformers", "transformers>=5", "--target=x==1", "-r==x", "a==1; b", "", "a==1,<2"]
)
def test_a_requirement_is_a_name_and_a_version(text: str) -> None:
    with pytest.raises(UserError, match="expected NAME==VERSION, such as transformers=="):
        pinned(text)


def test_names_are_compared_as_packages_are() -> None:
    assert pinned(" Huggingface_Hub == 1.0+cpu ") == ("huggingface-hub", "1.0+cpu")


def test_one_version_of_each_package(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="one version of each package"):
        environment(["torch==2.12.0", "Torch==2.13.0"], tmp_path)


def test_installed_code_is_not_put_in_front_of_other_versions() -> None:
    assert code_path(ROOT) == [ROOT]
    assert code_path(site_folders()[0]) == []


def test_a_python_that_does_not_run_is_one_line(tmp_path: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho trouble >&2; exit 3\n")
    broken.chmod(0o755)
    with pytest.raises(UserError, match="python: trouble"):
        packages(broken)
    with pytest.raises(UserError, match="nowhere: No such file"):
        packages(tmp_path / "nowhere")
