"""What tests of assets share: a loopback server, an empty folder, a small catalogue, and errors of one line."""

from __future__ import annotations

import hashlib
import http.server
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from guidebench.assets import catalogue
from guidebench.assets.catalogue import Asset
from guidebench.errors import GuidebenchError

TORCH = b"\x80\x02" + b"weights" * 100_000  # several chunks
MEMBERS = ("detector.onnx", "recogniser.onnx")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Server:
    """What a loopback server answers, by path; remembers what it was asked for."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, bytes, int]] = {}  # path -> status, body, bytes announced
        self.asked: list[str] = []
        self.url = ""

    def serve(self, path: str, body: bytes, *, status: int = 200, announced: int | None = None) -> None:
        self.answers[path] = (status, body, len(body) if announced is None else announced)


@pytest.fixture
def server():
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            state.asked.append(self.path)
            status, body, announced = state.answers.get(self.path, (404, b"", 0))
            self.send_response(status)
            self.send_header("Content-Length", str(announced))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        state.url = f"http://127.0.0.1:{listening.server_port}"
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        listening.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("GUIDEBENCH_ASSETS", str(tmp_path / "assets"))
    monkeypatch.delenv("GUIDEBENCH_MIRROR", raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "assets"


@pytest.fixture
def small(folder, server, monkeypatch):
    """By id: a file placed by hand, two fetched ones, and two packs of which one is enough."""

    def asset(name, file, form, **more):
        return Asset(name, file, "a role", "a licence", 1000, "a page", form, testbeds=("linear",), **more)

    def pack(name, other):
        urls = (f"{server.url}/gone.zip", f"{server.url}/{name}.zip")
        return asset(name, f"{name}-pack", "onnx-pack", urls=urls, instead=(other,), members=MEMBERS)

    small = (
        asset("hand", "hand.pkl", "pickle"),
        asset("whole", "whole.pth", "torch", urls=(f"{server.url}/whole.pth",), sha256=sha256(TORCH), also=("w.pth",)),
        asset("prefix", "prefix.pth", "torch", urls=(f"{server.url}/prefix.pth",), sha256=sha256(TORCH)[:8]),
        asset("extra", "extra.npy", "numpy", without="less is measured"),
        pack("one", "two"),
        pack("two", "one"),
    )
    monkeypatch.setattr(catalogue, "ASSETS", small)
    return {item.id: item for item in small}


@pytest.fixture
def given(tmp_path):
    """Writes a file that the user has."""

    def write(name: str, data: bytes) -> Path:
        path = tmp_path / "downloads" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        return path

    return write


@pytest.fixture
def one_line():
    """`with one_line(BadInput, "'given'")`: an error is raised, in one line that holds these words."""
    return _one_line


@contextmanager
def _one_line(kind: type[GuidebenchError], *words: str):
    with pytest.raises(kind) as caught:
        yield
    text = str(caught.value)
    assert "\n" not in text and all(word in text for word in words), text
