"""What compilers leave behind, in one form: Hardhat's and Foundry's artefacts, and standard JSON output."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from ioex_chain.crypto.address import checksum_account
from ioex_chain.crypto.hashes import keccak256
from ioex_chain.wallet.abi import read_abi
from ioex_chain.wallet.contract_errors import (
    ContractNotChosen,
    LibrariesMissing,
    NotAnArtefact,
    NotDeployable,
)

MAX_FILE = 256 * 1024 * 1024
"""Bytes: build-info files with many contracts are large, but no larger."""

Links = Mapping[str, Mapping[str, list[Mapping[str, int]]]]
"""Where a library's address goes: file, library, and places as `start` and `length` in bytes."""


@dataclass(frozen=True, slots=True)
class Immutable:
    """A value that the constructor writes into the code: `places` are (start, length) in bytes."""

    name: str
    places: tuple[tuple[int, int], ...]
    appended: bool = False
    """Whether it stands behind the code that the compiler gave (Vyper), counted from its end."""


@dataclass(frozen=True, slots=True)
class Artefact:
    """One compiled contract. Codes are hex without 0x; placeholders of libraries may stand in them."""

    name: str
    abi: list[dict[str, Any]]
    creation: str
    runtime: str
    """Empty when the artefact does not say."""
    source_name: str = ""
    links: Links = field(default_factory=dict)
    runtime_links: Links = field(default_factory=dict)
    immutables: tuple[Immutable, ...] = ()
    compiler: Mapping[str, Any] = field(default_factory=dict)
    """`language`, `version` and `settings`, as far as they are known."""
    source_hash: str | None = None

    def creation_code(self, libraries: Mapping[str, bytes] | None = None) -> bytes:
        """Give the code that creates the contract. Raises NotDeployable, LibrariesMissing."""
        if not self.creation:
            raise NotDeployable(f"{self.name} has no code: it is an interface or an abstract contract")
        return link(self.name, self.creation, self.links, libraries or {})

    def runtime_code(self, libraries: Mapping[str, bytes] | None = None) -> bytes:
        """Give the code that should stand at the address, immutables zero. Raises LibrariesMissing."""
        return link(self.name, self.runtime, self.runtime_links, libraries or {})

    def document(self) -> dict[str, Any]:
        """Give it in the form of a Hardhat artefact, which most tools read, with a few members more."""
        references = {one.name: _references(one) for one in self.immutables if not one.appended}
        appended = {one.name: _references(one)[0] for one in self.immutables if one.appended}
        return {
            "_format": "hh-sol-artifact-1",
            "contractName": self.name,
            "sourceName": self.source_name,
            "abi": self.abi,
            "bytecode": "0x" + self.creation,
            "deployedBytecode": "0x" + self.runtime,
            "linkReferences": self.links,
            "deployedLinkReferences": self.runtime_links,
            "immutableReferences": references,
            "appendedImmutables": appended,
            "compiler": dict(self.compiler),
            "sourceHash": self.source_hash,
        }


def _references(one: Immutable) -> list[dict[str, int]]:
    return [{"start": start, "length": length} for start, length in one.places]


def link(name: str, code: str, links: Links, libraries: Mapping[str, bytes]) -> bytes:
    """Put 20-byte library addresses into a code; names are `Library` or `file:Library`.

    Raises LibrariesMissing, NotAnArtefact.
    """
    missing = []
    for file, members in links.items():
        for library, places in members.items():
            address = libraries.get(f"{file}:{library}", libraries.get(library))
            if address is None:
                missing.append(f"{file}:{library}")
                continue
            for place in places:
                at = 2 * place["start"]
                code = code[:at] + address.hex() + code[at + 40 :]
    if missing:
        raise LibrariesMissing(
            f"{name} calls libraries: {', '.join(missing)}. Deploy them first, then give --library NAME=0x.."
        )
    try:
        return bytes.fromhex(code)
    except ValueError as error:
        raise NotAnArtefact(f"the code of {name} is not hex; is a library unlinked?") from error


def load_artefact(path: Path, contract: str | None = None) -> Artefact:
    """Read an artefact or compiler output; `contract` (`Name` or `file:Name`) chooses one of several.

    Raises NotAnArtefact, ContractNotChosen, InvalidAbi.
    """
    return choose(read_artefacts(read_json(path), path), contract, path)


def read_json(path: Path) -> dict[str, Any]:
    """Read a file with a JSON object. Raises NotAnArtefact."""
    try:
        if path.stat().st_size > MAX_FILE:
            raise NotAnArtefact(f"{path} is larger than {MAX_FILE} bytes")
        value = orjson.loads(path.read_bytes())
    except OSError as error:
        raise NotAnArtefact(f"{path} cannot be read: {error.strerror}") from error
    except orjson.JSONDecodeError as error:
        raise NotAnArtefact(f"{path} is neither JSON nor a source file (.vy, .sol)") from error
    if not isinstance(value, dict):
        raise NotAnArtefact(f"{path} holds no artefact: its JSON is not an object")
    return value


def read_artefacts(value: Mapping[str, Any], path: Path) -> list[Artefact]:
    """Give the contracts of a JSON value, whatever program wrote it. Raises NotAnArtefact, InvalidAbi."""
    try:
        if isinstance(value.get("output"), dict) and "contracts" in value["output"]:  # Hardhat's build-info
            return list(_standard_output(value["output"], value.get("input"), value.get("solcVersion")))
        if isinstance(value.get("contracts"), dict):
            return list(_standard_output(value, None, None))
        if isinstance(value.get("bytecode"), dict):
            return [_foundry(value, path)]
        if isinstance(value.get("bytecode"), str) and "abi" in value:
            return [_hardhat(value, path)]
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise NotAnArtefact(f"{path}: the artefact is incomplete ({error!r})") from error
    raise NotAnArtefact(
        f"{path} is no artefact that is known: Hardhat's, Foundry's, standard-JSON output, or a source "
        "(.vy, .sol)"
    )


def choose(found: list[Artefact], contract: str | None, path: Path) -> Artefact:
    """Give the wanted contract, or the only one with code. Raises ContractNotChosen."""
    names = sorted(f"{one.source_name}:{one.name}" if one.source_name else one.name for one in found)
    if contract is not None:
        fits = [one for one in found if contract in (one.name, f"{one.source_name}:{one.name}")]
    else:
        fits = [one for one in found if one.creation] if len(found) > 1 else found
    if len(fits) == 1:
        return fits[0]
    problem = f"has no contract {contract}" if contract and not fits else "holds several contracts"
    raise ContractNotChosen(f"{path} {problem}; choose with --contract: {', '.join(names) or 'none there'}")


# --- one reader per program ------------------------------------------------------------------------------


def _hardhat(value: Mapping[str, Any], path: Path) -> Artefact:
    """Hardhat 2 and 3, and what `Artefact.document` writes."""
    appended = value.get("appendedImmutables") or {}
    return Artefact(
        name=str(value.get("contractName") or path.stem),
        abi=read_abi(value["abi"]),
        creation=_hex(value["bytecode"]),
        runtime=_hex(value.get("deployedBytecode") or ""),
        source_name=str(value.get("sourceName") or ""),
        links=value.get("linkReferences") or {},
        runtime_links=value.get("deployedLinkReferences") or {},
        immutables=(
            *_immutables(value.get("immutableReferences")),
            *(Immutable(name, ((one["start"], one["length"]),), True) for name, one in appended.items()),
        ),
        compiler=value.get("compiler") or {},
        source_hash=value.get("sourceHash"),
    )


def _foundry(value: Mapping[str, Any], path: Path) -> Artefact:
    creation, runtime = value["bytecode"], value.get("deployedBytecode") or {}
    metadata = _metadata(value.get("rawMetadata") or value.get("metadata"))
    targets = (metadata.get("settings") or {}).get("compilationTarget") or {}
    source, name = next(iter(targets.items()), ("", path.stem))
    return Artefact(
        name=str(name),
        abi=read_abi(value["abi"]),
        creation=_hex(creation["object"]),
        runtime=_hex(runtime.get("object") or ""),
        source_name=str(source),
        links=creation.get("linkReferences") or {},
        runtime_links=runtime.get("linkReferences") or {},
        immutables=_immutables(runtime.get("immutableReferences")),
        compiler=_compiler(metadata),
        source_hash=_source_hash(metadata),
    )


def _standard_output(
    output: Mapping[str, Any], given: Mapping[str, Any] | None, version: str | None
) -> Iterator[Artefact]:
    """Read the output of `solc --standard-json` or `vyper --standard-json` (Solidity's manual)."""
    for source, members in output["contracts"].items():
        for name, one in members.items():
            code = one["evm"]
            creation, runtime = code["bytecode"], code.get("deployedBytecode") or {}
            metadata = _metadata(one.get("metadata"))
            compiler = _compiler(metadata)
            if not compiler and (version or output.get("compiler")):
                compiler = {
                    "language": (given or {}).get("language", "Solidity" if version else "Vyper"),
                    "version": version or str(output.get("compiler")),
                    "settings": (given or {}).get("settings", {}),
                }
            yield Artefact(
                name=str(name),
                abi=read_abi(one["abi"]),
                creation=_hex(creation["object"]),
                runtime=_hex(runtime.get("object") or ""),
                source_name=str(source),
                links=creation.get("linkReferences") or {},
                runtime_links=runtime.get("linkReferences") or {},
                immutables=_immutables(runtime.get("immutableReferences")),
                compiler=compiler,
                source_hash=_source_hash(metadata),
            )


def _hex(text: str) -> str:
    return text.removeprefix("0x")


def _immutables(found: Mapping[str, Any] | None) -> tuple[Immutable, ...]:
    return tuple(
        Immutable(str(name), tuple((one["start"], one["length"]) for one in places))
        for name, places in (found or {}).items()
    )


def _metadata(value: object) -> dict[str, Any]:
    """Read a contract's metadata, which comes as text or as an object; nothing when it is neither."""
    if isinstance(value, str) and value:
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            return {}
    return value if isinstance(value, dict) else {}


def _compiler(metadata: Mapping[str, Any]) -> dict[str, Any]:
    if "compiler" not in metadata:
        return {}
    settings = metadata.get("settings") or {}
    kept = {
        key: settings[key] for key in ("optimizer", "evmVersion", "viaIR", "remappings") if key in settings
    }
    return {
        "language": metadata.get("language", "Solidity"),
        "version": metadata["compiler"].get("version"),
        "settings": kept,
    }


def _source_hash(metadata: Mapping[str, Any]) -> str | None:
    """Hash the hashes of all sources, by name: the same for the same sources wherever they lie."""
    sources = metadata.get("sources")
    if not isinstance(sources, dict) or not sources:
        return None
    rows = [f"{name} {one.get('keccak256', '')}" for name, one in sorted(sources.items())]
    return "0x" + keccak256("\n".join(rows).encode()).hex()


def parse_libraries(texts: list[str]) -> dict[str, bytes]:
    """Read NAME=0x.. texts. Raises LibrariesMissing for one of another form."""
    found = {}
    for text in texts:
        name, _, address = text.rpartition("=")
        if not name or not re.fullmatch(r"0x[0-9a-fA-F]{40}", address):
            raise LibrariesMissing(f"a library is given as NAME=0x.. (40 hex digits), not {text!r}")
        found[name] = bytes.fromhex(address[2:])
    return found


def libraries_text(libraries: Mapping[str, bytes]) -> dict[str, str]:
    """Give libraries as a record holds them."""
    return {name: checksum_account(address) for name, address in libraries.items()}
