"""What the front page and the pages of problems answer; see `promises.py`.

Guarantees: a test reads every answer into its struct.
Does not: list every member; more may be there.

Change colour: green to add, red to take away.
"""

from __future__ import annotations

from settlement.edge.http.promises import Answer


class FrontPage(Answer):
    service: str
    version: str
    mode: str
    links: dict[str, str]


class ProblemPage(Answer):
    error: str
    title: str
    kind: str
    kind_means: str
    usual_status: int
    retry: str
    retry_means: str
    detail_form: str
    advice: str | None
    members: list[str]
