"""`ioex rpc`: call any method of a node, as bitcoin-cli does."""

import asyncio
import sys
from typing import Annotated, Any

import orjson
import typer

from ioex_chain.cli.dpos_url import SETTINGS, dpos_client
from ioex_chain.cli.options import EXIT_FAILED, Session, command, err, fail, to_json
from ioex_chain.rpc.client import RpcCallError


@command(*SETTINGS)
def rpc(
    session: Session,
    method: Annotated[str, typer.Argument(help="Name of the method; `help` lists them.")],
    params: Annotated[
        list[str] | None,
        typer.Argument(
            help="Parameters: JSON, or plain text where JSON does not parse; name=value with --named."
        ),
    ] = None,
    named: Annotated[bool, typer.Option("--named", help="Parameters are name=value.")] = False,
) -> None:
    """Call METHOD on the node and print its result.

    Example: `ioex rpc getblockhash 0`, `ioex rpc --named getblock blockhash=00.. verbosity=1`,
    `ioex rpc eth_getBlockByNumber finalized false` (methods with a prefix are the DPoS chain's)
    """
    values = params or []
    if named and not all("=" in value for value in values):
        fail("with --named every parameter is name=value", as_json=session.as_json)
    keyed = {key: parse(text) for key, _, text in (v.partition("=") for v in values)} if named else {}
    listed = [] if named else [parse(text) for text in values]
    try:
        result = asyncio.run(_call(session, method, listed, keyed))
    except RpcCallError as error:
        if session.as_json:
            found = {"code": error.code, "message": error.message, "data": error.data}
            print(to_json({"error": found}), file=sys.stderr)
        else:
            err.print(
                f"error code: {error.code}\nerror message:\n{error.message}", highlight=False, markup=False
            )
        raise SystemExit(EXIT_FAILED) from error
    if isinstance(result, str) and not session.as_json:
        print(result)
    elif result is not None or session.as_json:
        print(to_json(result))


async def _call(session: Session, method: str, listed: list[Any], keyed: dict[str, Any]) -> Any:
    """Ask the chain whose method it is: those of the DPoS chain have a prefix, as in eth_blockNumber."""
    is_dpos = "_" in method
    async with dpos_client(session, 600) if is_dpos else session.client(timeout=600) as client:
        return await client.call(method, *listed, **keyed)


def parse(text: str) -> Any:
    """Read a parameter: JSON if it is JSON, else the text itself (addresses and hashes need no quotes)."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
