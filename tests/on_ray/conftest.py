"""A Ray cluster of two nodes that are processes of this machine; `tox -e ray` runs these tests alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head that runs nothing, and two nodes of one CPU each."""
    ray = pytest.importorskip("ray", reason="no ray: pip install '.[ray]'")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    small = {"object_store_memory": 80 * 2**20}
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **small})
    try:
        found.two = [found.add_node(num_cpus=1, **small) for _ in range(2)]
        found.add_one = lambda: found.add_node(num_cpus=1, **small)
        monkeypatch.setenv("RAY_ADDRESS", found.address)
        yield found
    finally:
        if ray.is_initialized():
            ray.shutdown()
        found.shutdown()
