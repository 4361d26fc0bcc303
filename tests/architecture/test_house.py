"""The house rules that no linter holds."""

import re
import tomllib
from pathlib import Path

import pytest

from ioex_chain import __version__
from ioex_chain.node.config import NodeConfig

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "ioex_chain").rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def texts() -> list[Path]:
    kept = {".py", ".md", ".toml", ".json", ".sh", ".js", ".lock", ""}
    folders = ("ioex_chain", "tests", "docs", "scripts", "benchmarks", "genesis")
    found = [path for folder in folders for path in (ROOT / folder).rglob("*")]
    found += [path for path in ROOT.iterdir() if path.is_file()]
    return [
        path for path in found if path.is_file() and path.suffix in kept and "__pycache__" not in path.parts
    ]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_about_one_thing(path: Path) -> None:
    assert path.read_text().count("\n") <= 500


def test_nothing_names_a_place_outside_the_project() -> None:
    foreign = re.compile(r"\.\." + r"/shared|(?<![\w.])/" + r"work/")
    assert [path for path in texts() if foreign.search(path.read_text())] == []


def test_the_lock_files_name_hashes_and_no_host() -> None:
    for name in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / name).read_text()
        assert "://" not in text
        pinned = [line for line in text.split("\n") if re.match(r"^[a-z0-9]", line)]
        assert pinned
        assert all("==" in line and line.endswith("\\") for line in pinned)


def test_every_dependency_is_locked() -> None:
    def names(requirements: list[str]) -> set[str]:
        return {re.split(r"[<>=\[;]", line)[0].lower().replace("_", "-") for line in requirements}

    def locked(file: str) -> set[str]:
        return {line.split("==")[0] for line in (ROOT / file).read_text().split("\n") if "==" in line}

    assert names(PROJECT["dependencies"]) <= locked("requirements.lock")
    assert names(PROJECT["optional-dependencies"]["dev"]) <= locked("requirements-dev.lock")


def test_the_version_is_the_same_everywhere() -> None:
    assert PROJECT["version"] == __version__
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_commands_of_the_readme_exist() -> None:
    commands = re.findall(r"^make (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert commands == ["devnet", "test"]
    makefile = (ROOT / "Makefile").read_text()
    assert all(re.search(rf"^{command}:", makefile, re.MULTILINE) for command in commands)


def test_the_pages_that_are_linked_exist() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links {target}"


def test_every_setting_says_what_it_is() -> None:
    assert all(field.description for field in NodeConfig.model_fields.values())
