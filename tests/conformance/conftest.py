"""The service under conformance: in process on SQLite, or the one that AME_BASE names."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from tests.conformance.served import Served
from tests.edge.world import world

if TYPE_CHECKING:
    from collections.abc import Iterator

AME_BASE = os.environ.get("AME_BASE", "").rstrip("/")
_plain = build_opener(ProxyHandler({}))


def _over_the_network(
    method: str, path: str, body: bytes | None, headers: dict[str, str]
) -> tuple[int, str]:
    request = Request(AME_BASE + path, data=body, headers=headers, method=method)
    try:
        with _plain.open(request, timeout=60) as answer:
            return int(answer.status), answer.read().decode()
    except HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    if AME_BASE:
        yield Served(_over_the_network)
        return
    directory = tmp_path_factory.mktemp("conformance")
    with world(directory, f"sqlite:///{directory / 'settlement.db'}") as live:

        def in_process(
            method: str, path: str, body: bytes | None, headers: dict[str, str]
        ) -> tuple[int, str]:
            answer = live.call(method, path, content=body, headers=headers)
            return answer.status_code, answer.text

        yield Served(in_process)
