"""Structured logs on stderr: for people on a terminal, or one JSON object a line."""

import logging
import sys
from typing import Any

import structlog


def configure(level: str, form: str, *, color: bool) -> None:
    """Send everything that is logged, by us and by libraries, through one handler to stderr."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: Any = structlog.dev.ConsoleRenderer(
        colors=color,
        pad_event_to=0,
        pad_level=False,
        exception_formatter=structlog.dev.plain_traceback,  # the other shows variables: secrets
    )
    extra: list[Any] = []
    if form == "json":
        last = structlog.processors.JSONRenderer()
        extra = [structlog.processors.format_exc_info]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *extra, last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.getLogger("asyncio").setLevel(logging.WARNING)


def get(name: str) -> Any:
    """Give the logger of a component; call it with an event and key=value fields."""
    return structlog.stdlib.get_logger(name)
