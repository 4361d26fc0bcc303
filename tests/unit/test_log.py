"""What the log may show."""

import logging
from collections.abc import Iterator

import pytest

from ioex_chain.node import log

SECRET = "hunter2"


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def fail() -> None:
    password = SECRET
    raise ValueError(f"{len(password)} letters")


@pytest.mark.parametrize("form", ["console", "json"])
@pytest.mark.parametrize("color", [True, False])
def test_an_exception_is_logged_without_the_values_of_variables(
    form: str, color: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    log.configure("info", form, color=color)
    for logger in (log.get("ours"), logging.getLogger("a library's")):
        try:
            fail()
        except ValueError:
            logger.exception("it failed")
    shown = capsys.readouterr().err
    assert shown.count("7 letters") == 2
    assert SECRET not in shown
