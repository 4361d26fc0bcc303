"""Bitcoin Core's key_io vectors, for what this wallet imports: private keys in WIF."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ioex_chain.wallet.errors import InvalidPrivateKey
from ioex_chain.wallet.hd import parse_private_key

ROOT = os.environ.get("IOEX_VECTORS")
pytestmark = pytest.mark.skipif(not ROOT, reason="IOEX_VECTORS names no folder of public test vectors")


def _read(name: str) -> list[Any]:
    return json.loads((Path(ROOT) / "bitcoin" / name).read_text()) if ROOT else []


VALID = [row for row in _read("key_io_valid.json") if row[2]["isPrivkey"]]
INVALID = [row[0] for row in _read("key_io_invalid.json")]


def test_the_files_were_read() -> None:
    assert len(VALID) >= 10
    assert len(INVALID) >= 50


@pytest.mark.parametrize("row", VALID, ids=lambda row: row[0][:8])
def test_private_keys(row: list[Any]) -> None:
    text, private, about = row
    if about["isCompressed"]:
        key = parse_private_key(text)
        assert key.private.hex() == private
        assert key.main == (about["chain"] == "main")
    else:
        with pytest.raises(InvalidPrivateKey, match="uncompressed"):
            parse_private_key(text)


@pytest.mark.parametrize("text", INVALID, ids=lambda text: text[:8])
def test_what_is_no_key_of_any_kind_is_refused(text: str) -> None:
    with pytest.raises(InvalidPrivateKey) as caught:
        parse_private_key(text)
    assert len(text) < 8 or text not in str(caught.value)
