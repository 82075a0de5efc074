"""What the HTTP edge needs of the assembled services.

For: `wiring.Services` and the tests' hand-built one; both have these members and may have more.
Guarantees: nothing here is optional to a route but the signer, which a live server may lack.
Does not: build anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from settlement.config import Settings
    from settlement.core.errors import BehindCheckpoint
    from settlement.core.operation import Rules
    from settlement.edge.payment_desk import PaymentDesk
    from settlement.edge.worker import Worker
    from settlement.service.bundles import Bundles
    from settlement.service.deliveries import Deliveries
    from settlement.service.engine import Engine
    from settlement.service.exchange import Exchange
    from settlement.service.inbox import Inbox
    from settlement.service.log_views import LogViews
    from settlement.service.webhooks import Webhooks
    from settlement.signing import Signer
    from settlement.store.database import Database


class HttpServices(Protocol):
    """Read-only members of the assembly."""

    @property
    def settings(self) -> Settings: ...
    @property
    def rules(self) -> Rules: ...
    @property
    def db(self) -> Database: ...
    @property
    def engine(self) -> Engine: ...
    @property
    def bundles(self) -> Bundles: ...
    @property
    def log_views(self) -> LogViews: ...
    @property
    def webhooks(self) -> Webhooks: ...
    @property
    def deliveries(self) -> Deliveries: ...
    @property
    def signer(self) -> Signer | None: ...
    @property
    def worker(self) -> Worker: ...
    @property
    def rails(self) -> Mapping[str, object]: ...
    @property
    def desk(self) -> PaymentDesk | None: ...
    @property
    def exchange(self) -> Exchange: ...
    @property
    def inbox(self) -> Inbox: ...
    @property
    def behind(self) -> BehindCheckpoint | None: ...
