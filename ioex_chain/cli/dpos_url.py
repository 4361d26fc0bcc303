"""Where the DPoS chain's RPC is, and what a client logs in with."""

from typing import Any
from urllib.parse import urlsplit

from ioex_chain.cli.options import Session
from ioex_chain.rpc.auth import CookieFile, Credential
from ioex_chain.rpc.client import RpcClient

SETTINGS = ("dpos_rpc_port",)
"""Settings that every command of the DPoS chain takes as flags."""


def dpos_url(session: Session) -> str:
    """Give the URL of the DPoS chain's RPC: --rpc-url, or the local node's port."""
    port = session.config.dpos_rpc_port or session.spec().dpos.rpc_port
    return session.rpc_url or f"http://127.0.0.1:{port}/"


def credentials(session: Session, url: str) -> dict[str, Any]:
    """Give what a client logs in with; the local cookie goes to this machine only."""
    if session.config.rpc_user is not None:
        password = session.config.rpc_password.get_secret_value()
        return {"credential": Credential(session.config.rpc_user, password)}
    cookie = session.datadir.dpos_cookie
    is_local = urlsplit(url).hostname in ("127.0.0.1", "::1", "localhost")
    return {"cookie": CookieFile(cookie)} if is_local and cookie.exists() else {}


def dpos_client(session: Session, timeout: float = 60.0) -> RpcClient:
    """Give a client of the DPoS chain's RPC for code with an event loop."""
    url = dpos_url(session)
    return RpcClient(url, timeout=timeout, **credentials(session, url))
