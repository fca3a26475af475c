"""Shows on stderr what guidebench logs. Commands and programs turn it on; the library itself never prints.

Every module logs to a logger of its own name, below "guidebench": INFO is progress, WARNING is something that the user
should know about a result. Programs that use guidebench as a library see neither until they configure logging.
"""

from __future__ import annotations

import logging
import sys

from guidebench.text import one_line

ROOT = "guidebench"


def show_on_stderr() -> None:
    """Prints INFO as it is and anything more serious as ``guidebench: MESSAGE``; a second call changes nothing.

    Messages still reach the root logger, so that a program's own handlers and pytest's caplog see them.
    """
    logger = logging.getLogger(ROOT)
    logger.setLevel(logging.INFO)
    if not any(isinstance(handler, _OnStderr) for handler in logger.handlers):
        logger.addHandler(_OnStderr())


class _OnStderr(logging.Handler):
    """Looks stderr up for every message, because tests and method isolation exchange it."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            mark = "guidebench: " if record.levelno >= logging.WARNING else ""
            text = self.format(record)
            sys.stderr.write(f"{mark}{text if record.exc_info else one_line(text)}\n")
            sys.stderr.flush()
        except Exception:
            self.handleError(record)
