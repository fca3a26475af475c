"""The embedded testbed: rendered faces, a miniature EG3D and its judges, trained by this package and shipped in it."""

from typing import TYPE_CHECKING, Any

from guidebench.testbeds.mini.weights_version import WEIGHTS_VERSION

if TYPE_CHECKING:
    from guidebench.testbeds.mini.testbed import MiniTestbed

__all__ = ["WEIGHTS_VERSION", "MiniTestbed"]


def __getattr__(name: str) -> Any:
    """Import the testbed, and torch with it, when it is first asked for."""
    if name == "MiniTestbed":
        from guidebench.testbeds.mini.testbed import MiniTestbed

        return MiniTestbed
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
