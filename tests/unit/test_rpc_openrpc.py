from typing import Any

from jsonschema import Draft7Validator
from rpc_sample import ROWS, table

from ioex_chain.rpc.errors import ErrorTable
from ioex_chain.rpc.openrpc import Discovery, Info
from ioex_chain.rpc.subscriptions import Subscriptions, Topic

DESCRIPTOR = {
    "type": "object",
    "required": ["name", "schema"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "schema": {"type": "object"},
        "required": {"type": "boolean"},
        "description": {"type": "string"},
    },
}
# The required parts of the meta schema of spec.open-rpc.org, and two demands of our own: every method has a
# summary and a tag.
META: dict[str, Any] = {
    "type": "object",
    "required": ["openrpc", "info", "methods"],
    "properties": {
        "openrpc": {"type": "string", "pattern": r"^1\.\d+\.\d+$"},
        "info": {
            "type": "object",
            "required": ["title", "version"],
            "properties": {"title": {"type": "string"}, "version": {"type": "string"}},
        },
        "methods": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["name", "params", "result", "summary", "tags"],
                "properties": {
                    "name": {"type": "string"},
                    "summary": {"type": "string", "minLength": 1},
                    "description": {"type": "string"},
                    "deprecated": {"type": "boolean"},
                    "paramStructure": {"enum": ["by-position", "by-name", "either"]},
                    "params": {"type": "array", "items": DESCRIPTOR},
                    "result": DESCRIPTOR,
                    "tags": {"type": "array", "minItems": 1, "items": {"required": ["name"]}},
                    "errors": {
                        "type": "array",
                        "items": {
                            "required": ["code", "message"],
                            "properties": {"code": {"type": "integer"}, "message": {"type": "string"}},
                        },
                    },
                },
            },
        },
        "components": {"type": "object", "properties": {"schemas": {"type": "object"}}},
    },
}


def discover() -> dict[str, Any]:
    _, methods = table()
    Subscriptions([Topic("x", "Something.")]).add_methods(methods)
    return Discovery(methods, ErrorTable(ROWS), Info("sample", "1")).discover()


def references(node: object) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if "$ref" in node else []
        return own + [ref for child in node.values() for ref in references(child)]
    return [ref for child in node for ref in references(child)] if isinstance(node, list) else []


def test_the_document_is_openrpc_and_its_references_resolve() -> None:
    document = discover()
    Draft7Validator(META).validate(document)
    for ref in references(document):
        assert ref.removeprefix("#/components/schemas/") in document["components"]["schemas"]


def test_every_method_is_there_with_typed_parameters() -> None:
    document = discover()
    names = [m["name"] for m in document["methods"]]
    assert len(names) == len(set(names))
    assert {"getblock", "pay", "subscribe", "rpc.discover"} <= set(names)
    by_name = {m["name"]: m for m in document["methods"]}
    blockhash, verbosity = by_name["getblock"]["params"]
    assert blockhash == {
        "name": "blockhash",
        "required": True,
        "description": "a block's hash",
        "schema": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    }
    assert verbosity["required"] is False
    assert verbosity["schema"]["default"] == 1
    assert by_name["choose"]["params"][1]["name"] == "from"
    assert by_name["getblock"]["errors"] == [{"code": -5, "message": "A domain error with a code."}]
    assert "authentication" in by_name["pay"]["description"]
    assert by_name["subscribe"]["params"][0]["name"] == "topic"


def test_result_schemas_describe_amounts_as_numbers() -> None:
    document = discover()
    payment = document["components"]["schemas"]["Payment"]
    assert payment["properties"]["amount"]["type"] == "number"
