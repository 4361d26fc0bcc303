"""What the tracers show of small transactions, in the shape that Ethereum's clients give it."""

import json
from itertools import pairwise

import pytest
from evm_world import BENEFICIARY, SENDER, env, transaction
from vm_calls_world import Message, world

from ioex_chain.evm import trace_opcodes
from ioex_chain.evm.call_types import CallRefused
from ioex_chain.evm.state import FlatState
from ioex_chain.evm.trace import Options, trace_call, trace_transaction
from ioex_chain.evm.types import WEI

CALLEE, INNER = bytes.fromhex("c0de" * 10), bytes.fromhex("1234" * 10)
LOG = "60016002a0"  # log0(2, 1)
CALL_INNER = f"60006000600060006000 73{INNER.hex()} 5a f1 50".replace(" ", "")
STORE = "600760015500"
REASON = (
    bytes.fromhex("08c379a0") + (32).to_bytes(32, "big") + (2).to_bytes(32, "big") + b"no".ljust(32, b"\0")
)


def returning(data: bytes, op: str) -> bytes:
    """Code that copies what follows it and ends with RETURN or REVERT."""
    head = bytes.fromhex(f"61{len(data):04x}600e60003961{len(data):04x}6000{op}")
    return head + data


def chain(outer: str = CALL_INNER + STORE, inner: bytes = bytes.fromhex(LOG + "00")):
    return world(
        **{
            "a" + CALLEE.hex(): {"nonce": 1, "code": bytes.fromhex(outer), "slots": {1: 3}},
            "a" + INNER.hex(): {"nonce": 1, "code": inner},
            "a" + SENDER.hex(): {"balance": WEI},
        }
    )


def trace(rows, tracer=None, gas=100_000, **options):
    state = FlatState(rows)
    chosen = Options(tracer=tracer, **options)
    shown, _ = trace_transaction(state, env(), transaction(to=CALLEE, gas=gas), SENDER, chosen)
    return shown


def test_opcode_log_adds_up_and_shows_the_machine():
    shown = trace(chain(), memory=True)
    logs = shown["structLogs"]
    assert shown["failed"] is False
    assert shown["returnValue"] == "0x"
    assert [entry["op"] for entry in logs[-4:]] == ["PUSH1", "PUSH1", "SSTORE", "STOP"]
    outer = [entry for entry in logs if entry["depth"] == 1]
    for first, second in pairwise(outer):
        if first["op"] != "CALL":
            assert second["gas"] == first["gas"] - first["gasCost"]
    assert logs[-2]["storage"] == {f"0x{1:064x}": f"0x{7:064x}"}
    assert logs[-2]["stack"] == ["0x7", "0x1"]
    assert logs[-2]["gasCost"] == 2_900 + 2_100
    assert {entry["depth"] for entry in logs} == {1, 2}
    inner_log = next(entry for entry in logs if entry["op"] == "LOG0")
    assert inner_log["memory"] == []


def test_opcode_log_has_the_specified_fields_and_forms():
    """Those of StructLog: what is switched off is absent, memory comes in words, the refund always."""
    gives = returning(b"\x2a" * 40, "f3")
    clears = "5f600155" + CALL_INNER + "600d600055" + "5f5f"
    shown = trace(chain(clears, inner=gives), memory=True, return_data=True, stack=True)
    logs = shown["structLogs"]
    always = {"pc", "op", "gas", "gasCost", "depth", "refund", "stack", "memory", "returnData"}
    assert {frozenset(entry) - {"storage"} for entry in logs} == {frozenset(always)}
    assert [entry["op"] for entry in logs if "storage" in entry] == ["SSTORE", "SSTORE"]
    assert (logs[0]["refund"], logs[-1]["refund"]) == (0, 4_800)
    inner = [entry for entry in logs if entry["depth"] == 2][-1]
    assert inner["memory"] == ["0x" + "2a" * 32, "0x" + "2a" * 8 + "00" * 24]
    assert logs[0]["returnData"] == "0x"
    assert logs[-1]["returnData"] == "0x" + "2a" * 40
    bare = trace(chain(clears, inner=gives), stack=False, storage=False)["structLogs"]
    assert {frozenset(entry) for entry in bare} == {frozenset(always - {"stack", "memory", "returnData"})}


def test_opcode_log_without_stack_and_with_a_limit():
    logs = trace(chain(), stack=False, storage=False, limit=3)["structLogs"]
    assert len(logs) == 3
    assert "stack" not in logs[0]


def test_opcode_log_is_cut_by_the_size_of_its_json(monkeypatch):
    monkeypatch.setattr(trace_opcodes, "_MAX_BYTES", 50_000)
    deep = bytes((0x7F, *(255,) * 32)) * 200 + b"\x50" * 100
    shown = trace(chain(deep.hex()))
    written = len(json.dumps(shown["structLogs"]))
    assert 40_000 < written < 120_000


def test_opcode_log_names_the_error_of_the_last_operation():
    shown = trace(chain("fe"))
    assert shown["failed"] is True
    assert shown["structLogs"][-1]["error"].startswith("invalid opcode")
    assert "#" not in shown["structLogs"][-1]


def test_call_tree_with_logs():
    top = trace(chain(), "callTracer", config={"withLog": True})
    assert (top["type"], top["from"], top["to"]) == ("CALL", "0x" + SENDER.hex(), "0x" + CALLEE.hex())
    assert (top["gas"], top["value"], top["input"]) == (hex(100_000), "0x0", "0x")
    (child,) = top["calls"]
    assert child["to"] == "0x" + INNER.hex()
    assert child["logs"][0]["position"] == "0x0"
    assert "logs" not in top
    assert trace(chain(), "callTracer", config={"onlyTopCall": True}).get("calls") is None


def test_call_tree_shows_a_revert_with_its_reason_and_no_logs():
    top = trace(chain(inner=returning(REASON, "fd")), "callTracer", config={"withLog": True})
    (child,) = top["calls"]
    assert (child["error"], child["revertReason"]) == ("execution reverted", "no")
    assert child["output"] == "0x" + REASON.hex()


def test_prestate_is_what_was_before():
    shown = trace(chain(), "prestateTracer")
    assert shown["0x" + SENDER.hex()] == {"balance": hex(WEI)}
    assert shown["0x" + CALLEE.hex()]["storage"] == {f"0x{1:064x}": f"0x{3:064x}"}
    assert "0x" + BENEFICIARY.hex() not in shown
    assert shown["0x" + INNER.hex()]["nonce"] == 1


def test_prestate_differences():
    shown = trace(chain(), "prestateTracer", config={"diffMode": True})
    callee = "0x" + CALLEE.hex()
    assert shown["pre"][callee]["storage"] == {f"0x{1:064x}": f"0x{3:064x}"}
    assert shown["post"][callee] == {"storage": {f"0x{1:064x}": f"0x{7:064x}"}}
    assert shown["post"]["0x" + SENDER.hex()]["nonce"] == 1
    assert "0x" + BENEFICIARY.hex() in shown["post"]
    assert "0x" + INNER.hex() not in shown["pre"]


def test_selectors_are_counted():
    message = Message(to=CALLEE, data=bytes.fromhex("27dc297e") + bytes(128))
    assert trace_call(chain(), env(), message, Options("4byteTracer")) == {"0x27dc297e-128": 1}
    assert trace_call(chain(), env(), message, Options("noopTracer")) == {}
    with pytest.raises(CallRefused):
        trace_call(chain(), env(), message, Options("jsTracer"))


def test_creation_that_destroys_itself():
    message = Message(data=bytes.fromhex("33ff"), sender=SENDER, value=5)
    top = trace_call(chain(), env(), message, Options("callTracer"))
    assert top["type"] == "CREATE"
    assert top["calls"][0]["type"] == "SELFDESTRUCT"
    assert top["calls"][0]["value"] == "0x5"
