"""Compilers as programs of their own: Vyper (Python package or program) and Solidity (solc, or npm's solc).

Nothing is downloaded: what is not installed is named with the way to install it.
"""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.wallet.abi import read_abi
from ioex_chain.wallet.artefacts import Artefact, Immutable, choose, load_artefact, read_artefacts, read_json
from ioex_chain.wallet.contract_errors import CompilationFailed, CompilerMissing, NotAnArtefact

TIMEOUT = 300.0
"""Seconds that a compiler may take."""
EVM_VERSION = "prague"
"""What the DPoS chain executes (docs/protocol.md section 4)."""
_SELECTION = {"*": {"*": ["abi", "evm.bytecode", "evm.deployedBytecode", "metadata"]}}
_SOLC_JS = """
const fs = require("fs"), path = require("path");
const roots = process.argv.slice(1);  // where imports are looked up
const solc = require(require.resolve("solc", { paths: roots }));
const read = (name) => {
  for (const root of roots)
    for (const place of [path.resolve(root, name), path.resolve(root, "node_modules", name)])
      if (fs.existsSync(place)) return { contents: fs.readFileSync(place, "utf8") };
  return { error: "not found in " + roots.join(", ") };
};
process.stdout.write(solc.compile(fs.readFileSync(0, "utf8"), { import: read }));
"""
"""Runs npm's solc on standard JSON; imports are looked up beside the source and in node_modules."""
_FIND_SOLC_JS = 'require.resolve("solc", { paths: process.argv.slice(1) })'


@dataclass(frozen=True, slots=True)
class Choices:
    """What a user chose for a compilation."""

    evm_version: str = EVM_VERSION
    optimizer_runs: int = 200
    """0 switches Solidity's optimizer off."""
    solc: str | None = None
    """A solc program, or a folder whose node_modules has npm's solc."""


def compile_source(path: Path, contract: str | None = None, choices: Choices | None = None) -> Artefact:
    """Compile a source (.vy, .sol, standard-JSON input), or read what was compiled already.

    Raises CompilerMissing, CompilationFailed, NotAnArtefact, ContractNotChosen, InvalidAbi.
    """
    choices = choices or Choices()
    if not path.is_file():
        raise NotAnArtefact(f"there is no file {path}")
    if path.suffix == ".vy":
        return compile_vyper(path, choices)
    if path.suffix == ".sol":
        return compile_solidity(path, contract, choices)
    if path.suffix != ".json":
        return load_artefact(path, contract)
    value = read_json(path)
    if "language" in value and "sources" in value:
        return choose(_compile_input(value, path, choices), contract, path)
    return choose(read_artefacts(value, path), contract, path)


# --- Vyper -----------------------------------------------------------------------------------------------


def vyper_command() -> list[str]:
    """Give the command that runs Vyper. Raises CompilerMissing."""
    if find_spec("vyper") is not None:
        return [sys.executable, "-P", "-m", "vyper"]
    program = shutil.which("vyper")
    if program is None:
        raise CompilerMissing("Vyper is not installed: 'pip install vyper' in this or another environment")
    return [program]


def compile_vyper(path: Path, choices: Choices) -> Artefact:
    """Compile one Vyper file with what it imports. Raises CompilerMissing, CompilationFailed."""
    command = vyper_command()
    parts = "abi,bytecode,bytecode_runtime,layout,integrity"
    words = [*command, "--evm-version", choices.evm_version, "-f", parts, path.name]
    lines = _run(words, cwd=path.parent, what=str(path)).split("\n")
    abi, creation, runtime, layout, integrity = lines[:5]
    version = _run([*command, "--version"], what="vyper --version").strip()
    return Artefact(
        name=path.stem,
        abi=read_abi(orjson.loads(abi)),
        creation=creation.removeprefix("0x"),
        runtime=runtime.removeprefix("0x"),
        source_name=path.name,
        immutables=tuple(_vyper_immutables(orjson.loads(layout).get("code_layout") or {})),
        compiler={
            "language": "Vyper",
            "version": version,
            "settings": {"evmVersion": choices.evm_version},
        },
        source_hash="0x" + integrity.strip(),
    )


def _vyper_immutables(layout: dict[str, Any], before: str = "") -> list[Immutable]:
    """Vyper keeps immutables behind the code; those of imported modules are nested by module."""
    found = []
    for name, one in layout.items():
        if "offset" in one and "length" in one:
            found.append(Immutable(before + name, ((one["offset"], one["length"]),), True))
        else:
            found += _vyper_immutables(one, f"{before}{name}.")
    return found


# --- Solidity --------------------------------------------------------------------------------------------


def compile_solidity(path: Path, contract: str | None, choices: Choices) -> Artefact:
    """Compile one Solidity file with what it imports. Raises CompilerMissing, CompilationFailed."""
    text = path.read_text("utf-8")
    value = {
        "language": "Solidity",
        "sources": {path.name: {"content": text}},
        "settings": {
            "evmVersion": choices.evm_version,
            "optimizer": {"enabled": choices.optimizer_runs > 0, "runs": choices.optimizer_runs or 200},
        },
    }
    found = _compile_input(value, path, choices)
    own = [one for one in found if one.source_name == path.name] if contract is None else found
    return choose(own, contract, path)


def _compile_input(value: dict[str, Any], path: Path, choices: Choices) -> list[Artefact]:
    """Run standard-JSON input through the compiler of its language."""
    settings = {**(value.get("settings") or {}), "outputSelection": _SELECTION}
    if value["language"] == "Vyper":
        settings["outputSelection"] = {"*": ["abi", "evm.bytecode", "evm.deployedBytecode"]}
        words = [*vyper_command(), "--standard-json"]
    else:
        words = solc_command(path.parent, choices.solc)
    answer = _run(words, cwd=path.parent, stdin=orjson.dumps({**value, "settings": settings}), what=str(path))
    output = _json(answer, path)
    _check(output, path)
    artefacts = read_artefacts({**output, "contracts": output.get("contracts") or {}}, path)
    digest = "0x" + keccak256(orjson.dumps(value.get("sources"), option=orjson.OPT_SORT_KEYS)).hex()
    return [one if one.source_hash else _with_hash(one, digest) for one in artefacts]


def _with_hash(one: Artefact, digest: str) -> Artefact:
    return replace(one, source_hash=digest)


def solc_command(folder: Path, wanted: str | None = None) -> list[str]:
    """Give the command that reads standard JSON on stdin. Raises CompilerMissing.

    Looks at `wanted`, then for npm's solc at the source and above it, then for a program `solc`.
    """
    roots = [str(folder.resolve()), str(Path.cwd())]
    if wanted is not None and Path(wanted).is_dir():
        roots.append(str(Path(wanted).resolve()))
    elif wanted is not None:
        program = shutil.which(wanted)
        if program is None:
            raise CompilerMissing(f"there is no program {wanted}")
        return [program, "--standard-json"]
    node = shutil.which("node")
    if node is not None and _execute([node, "-e", _FIND_SOLC_JS, "--", *roots]).returncode == 0:
        return [node, "-e", _SOLC_JS, "--", *roots]
    program = shutil.which("solc")
    if program is not None and wanted is None:
        return [program, "--standard-json"]
    raise CompilerMissing(
        f"there is no Solidity compiler: 'npm install solc' in {roots[0]} (needs node), or install solc; "
        "or compile with Hardhat or Foundry and give the artefact"
    )


def _check(output: dict[str, Any], path: Path) -> None:
    errors = [one for one in output.get("errors") or [] if one.get("severity") == "error"]
    if errors:
        shown = "\n".join(str(one.get("formattedMessage") or one.get("message")).strip() for one in errors)
        raise CompilationFailed(f"{path} does not compile:\n{shown}")


def _json(text: str, path: Path) -> dict[str, Any]:
    try:
        value = orjson.loads(text[text.index("{") :])
    except ValueError as error:
        raise CompilationFailed(f"{path}: the compiler gave no JSON: {text[:200]}") from error
    return dict(value)


def _run(words: Sequence[str], *, what: str, cwd: Path | None = None, stdin: bytes = b"") -> str:
    """Run a compiler. Raises CompilationFailed with what it said, CompilerMissing."""
    try:
        done = _execute(words, cwd, stdin)
    except subprocess.TimeoutExpired as error:
        raise CompilationFailed(f"{what}: the compiler did not end within {TIMEOUT:g} s") from error
    except OSError as error:
        raise CompilerMissing(f"{words[0]} cannot be run: {error.strerror}") from error
    if done.returncode:
        said = (done.stderr or done.stdout).decode("utf-8", "replace").strip()
        raise CompilationFailed(f"{what} does not compile:\n{said}")
    return done.stdout.decode("utf-8", "replace")


def _execute(
    words: Sequence[str], cwd: Path | None = None, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    # No shell, and the program is the compiler that the user installed.
    return subprocess.run(words, input=stdin, capture_output=True, cwd=cwd, timeout=TIMEOUT, check=False)  # noqa: S603
