"""Is the node alive, is it ready: pages for supervisors, and the small server that has them and /metrics."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from ioex_chain.primitives.errors import IoexError
from ioex_chain.rpc.budget import Budget
from ioex_chain.rpc.connection import ConnectionServer
from ioex_chain.rpc.limits import MIB, Limits
from ioex_chain.rpc.origin import OriginPolicy
from ioex_chain.rpc.peer_port import PeerPort
from ioex_chain.rpc.server import Page, PortTaken

T = TypeVar("T")
ANSWER_SECONDS = 10.0
"""The chain's thread may be at a full block; after this long it counts as stuck."""
LIMITS = Limits(connections=64, header_bytes=4096, connections_idle_seconds=30.0)


class Living(Protocol):
    """A running node, as its health is judged."""

    stopping: asyncio.Event

    @property
    def failure(self) -> IoexError | None:
        """Why it stops, if its disk failed."""
        ...

    @property
    def peers(self) -> PeerPort:
        """The peer-to-peer side."""
        ...

    async def call(self, function: Callable[[], T]) -> T:
        """Run `function` on the chain's worker thread."""
        ...


class Health:
    """Asks the chain's thread for a sign of life; many who ask at one time share one question."""

    def __init__(self, service: Living, seconds: float = ANSWER_SECONDS) -> None:
        self._service = service
        self._seconds = seconds
        self._question: asyncio.Task[None] | None = None

    async def trouble(self) -> str | None:
        """Say why the node is not alive; None when it is."""
        if self._service.failure is not None:
            return f"failed: {self._service.failure}"
        if self._question is None or self._question.done():
            self._question = asyncio.create_task(self._service.call(_nothing))
        done, _ = await asyncio.wait((self._question,), timeout=self._seconds)
        if not done:
            return f"the chain's thread has not answered for {self._seconds:g} s"
        error = None if self._question.cancelled() else self._question.exception()
        return None if error is None else f"the chain's thread does not run: {error}"

    async def unready(self) -> str | None:
        """Say why the node should not be used yet, or no more; None when it is synced."""
        if self._service.stopping.is_set():
            return "stopping"
        sync = self._service.peers.sync_state()
        if sync.is_syncing:
            return f"syncing: height {sync.head_height} of {sync.header_height}"
        return await self.trouble()

    async def live_page(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer /healthz."""
        del request
        return _answer(await self.trouble(), "live")

    async def ready_page(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer /readyz."""
        del request
        return _answer(await self.unready(), "ready")


def _nothing() -> None:
    """Pass through the chain's thread."""


def _answer(trouble: str | None, good: str) -> web.Response:
    response = web.Response(status=503 if trouble else 200, text=f"{trouble or good}\n")
    response.headers["Cache-Control"] = "no-store"
    return response


def health_pages(service: Living, seconds: float = ANSWER_SECONDS) -> Mapping[str, Page]:
    """Give the pages for `ServerConfig.pages`: 200 when all is well, else 503 and the reason.

    `/healthz`: the chain's thread answers within `seconds`. `/readyz`: that, synced, and not stopping.
    """
    health = Health(service, seconds)
    return {"/healthz": health.live_page, "/readyz": health.ready_page}


class MetricsServer:
    """Serves /metrics, /healthz and /readyz on a port of their own; the node awaits `start` and `stop`.

    Without authentication, so for loopback or a network that is trusted. `port` 0 takes any free one.
    """

    def __init__(
        self,
        service: Living,
        text: Callable[[], bytes],
        host: str,
        port: int,
        *,
        hosts: frozenset[str] = frozenset(),
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        """Take what gives the metrics (`NodeMetrics.text`), and the host names to answer to."""
        self._text = text
        self._at = (host, port)
        self._policy = OriginPolicy(hosts)
        self._pages = {**health_pages(service, answer_seconds), "/metrics": self._metrics}
        self._listener: asyncio.Server | None = None
        self._connections: ConnectionServer | None = None

    @property
    def port(self) -> int:
        """The port it listens on. Raises RuntimeError before `start`."""
        if self._listener is None:
            raise RuntimeError("the metrics server is not started")
        return int(self._listener.sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Listen. Raises PortTaken."""
        self._connections = ConnectionServer(self._handle, LIMITS, Budget(MIB))
        host, port = self._at
        try:
            self._listener = await asyncio.get_running_loop().create_server(
                self._connections, host, port, backlog=64
            )
        except OSError as error:
            raise PortTaken(
                f"cannot listen on {host}:{port} for metrics: {error.strerror}. Another program has it "
                "or the address is not this machine's; change metrics_port or metrics_host"
            ) from error

    async def stop(self) -> None:
        """Stop listening and close every connection."""
        if self._listener is None or self._connections is None:
            return
        self._listener.close()
        self._connections.pre_shutdown()
        await self._connections.shutdown(0.5)
        self._listener = None

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        assert self._connections is not None  # noqa: S101  (requests come after start)
        self._connections.heard(request.protocol)
        page = self._pages.get(request.path)
        if not self._policy.allows_host(request.headers.get("Host")):
            return _closing(403, "this Host name is not allowed; list it in the node's settings")
        if page is None:
            return _closing(404, "there are " + ", ".join(sorted(self._pages)))
        if request.method not in ("GET", "HEAD"):
            return _closing(405, "ask with GET")
        return await page(request)

    async def _metrics(self, request: web.BaseRequest) -> web.StreamResponse:
        del request
        return web.Response(body=self._text(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _closing(status: int, text: str) -> web.Response:
    response = web.Response(status=status, text=text + "\n")
    response.force_close()
    return response
