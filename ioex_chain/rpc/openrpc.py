"""The OpenRPC description of a port, generated from its table of methods (spec.open-rpc.org, 1.3)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import TypeAdapter

from ioex_chain.rpc.errors import Code, ErrorTable
from ioex_chain.rpc.params import Parameter
from ioex_chain.rpc.registry import Mark, Method, MethodTable

OPENRPC_VERSION = "1.3.2"
DISCOVER = "rpc.discover"
_REF = "#/components/schemas/{model}"
_WRITE_NOTE = "Needs authentication: it changes the node."

Schema = dict[str, Any]
Schemas = Mapping[tuple[str, str], Schema]


@dataclass(frozen=True, slots=True)
class Info:
    """What the document says of itself."""

    title: str
    version: str
    description: str = ""


class Discovery:
    """Offers `rpc.discover` on a table; the document is built once, at the first call."""

    def __init__(self, table: MethodTable, errors: ErrorTable, info: Info) -> None:
        self._table = table
        self._errors = errors
        self._info = info
        self._document: dict[str, Any] | None = None
        table.add(self.discover, Mark(DISCOVER, "control", False, (), None, False, False))

    def discover(self) -> dict[str, Any]:
        """Describe every method of this port in OpenRPC."""
        if self._document is None:
            self._document = document(self._table, self._errors, self._info)
        return self._document


def document(table: MethodTable, errors: ErrorTable, info: Info) -> dict[str, Any]:
    """Build the OpenRPC document of a table."""
    schemas, definitions = _schemas(table)
    return {
        "openrpc": OPENRPC_VERSION,
        "info": {"title": info.title, "version": info.version, "description": info.description},
        "methods": [_method(entry, schemas, errors) for entry in table],
        "components": {"schemas": definitions},
    }


def _schemas(table: MethodTable) -> tuple[Schemas, Schema]:
    """Generate all schemas at once, so that two types of one name get two definitions."""
    inputs: list[tuple[str, Literal["validation", "serialization"], TypeAdapter[Any]]] = []
    for entry in table:
        inputs.append((entry.name, "serialization", entry.signature.result))
        inputs += [(f"{entry.name}({p.name})", "validation", p.adapter) for p in entry.signature.parameters]
    made, shared = TypeAdapter.json_schemas(inputs, ref_template=_REF)
    return {(str(key), str(mode)): schema for (key, mode), schema in made.items()}, shared.get("$defs", {})


def _method(entry: Method, schemas: Schemas, errors: ErrorTable) -> dict[str, Any]:
    notes = [note for note in (entry.description, _WRITE_NOTE if entry.mark.write else "") if note]
    body: dict[str, Any] = {
        "name": entry.name,
        "summary": entry.summary,
        "tags": [{"name": entry.group}],
        "paramStructure": "either",
        "params": [_parameter(entry, p, schemas) for p in entry.signature.parameters],
        "result": {"name": "result", "schema": schemas[(entry.name, "serialization")]},
        "x-needs-authentication": entry.mark.write,
    }
    if notes:
        body["description"] = "\n\n".join(notes)
    if entry.mark.errors:
        body["errors"] = [_error(error, errors) for error in entry.mark.errors]
    if entry.mark.deprecated:
        body["deprecated"] = True
    return body


def _parameter(entry: Method, p: Parameter, schemas: Schemas) -> dict[str, Any]:
    schema = dict(schemas[(f"{entry.name}({p.name})", "validation")])
    if not p.required and p.default is not None:
        schema["default"] = p.default
    body: dict[str, Any] = {"name": p.name, "required": p.required, "schema": schema}
    text = p.description or schema.get("description", "")
    if text:
        body["description"] = text
    return body


def _error(error: int | type[Exception], errors: ErrorTable) -> dict[str, Any]:
    """Describe an error by its class's first line, or by its code's name."""
    if isinstance(error, int):
        name = Code(error).name if error in set(Code) else "error"
        return {"code": int(error), "message": name.replace("_", " ").lower()}
    row = errors.row(error)
    text = (error.__doc__ or error.__name__).strip().splitlines()[0]
    return {"code": int(row.code if row else Code.INTERNAL_ERROR), "message": (row and row.message) or text}
