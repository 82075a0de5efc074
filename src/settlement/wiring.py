"""The assembly: settings in, running services out, and everything closed in the right order.

For: `settlement serve` and `settlement worker`, and tests that want the whole house.
Guarantees: nothing runs before the database has the schema of this release and the log has been
compared with its checkpoint file; a log behind it makes the process read-only (spec §17.2). What
`start` opened, `close` closes: first the loops end and leases go back, then what the engine took is
answered, then the database.
Does not: listen, migrate, or decide anything.

Spec §9.3, §17.2. Change colour: amber.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from settlement import tracing
from settlement.config import SIMULATED, ConfigError, Settings
from settlement.core.bids import parse_seal_key
from settlement.core.operation import Rules
from settlement.edge.outgoing import Sender
from settlement.edge.rails import choice
from settlement.edge.rails.simulated import SimulatedRail
from settlement.edge.worker import Loop, Worker, has_events, has_jobs
from settlement.sealing import SealKey, open_or_create_key_file, read_key_file
from settlement.service.balances import BALANCES, BALANCES_SECONDS, Balances
from settlement.service.bundles import Bundles
from settlement.service.deliveries import Deliveries
from settlement.service.effects import EffectRunner
from settlement.service.engine import Engine
from settlement.service.exchange import Exchange
from settlement.service.feed import FEED_RELEASE, FEED_RELEASE_SECONDS, Feed
from settlement.service.inbox import Inbox
from settlement.service.job_kinds import JobKind, periodic, runner_of
from settlement.service.jobs import JobQueue
from settlement.service.limiting import FORGET, FORGET_SECONDS, Forgetting
from settlement.service.log import LogSettings, Sequencer
from settlement.service.log_views import LogViews
from settlement.service.outbox import Outbox
from settlement.service.prune import PRUNE, PRUNE_SECONDS, Pruner
from settlement.service.schedule import Every, Scheduler
from settlement.service.webhooks import Webhooks
from settlement.signing import Ed25519FileSigner, SigningKeyError
from settlement.store.database import MigrationRefused, open_database
from settlement.store.health import effects_in_flight
from settlement.store.lease_clock import Uptime, machine_uptime
from settlement.store.operator import schema_state

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from settlement.core.clock import Clock
    from settlement.core.errors import BehindCheckpoint
    from settlement.core.rail import Rail
    from settlement.core.writeset import WriteSet
    from settlement.edge.otel import OtelTracer
    from settlement.edge.payment_desk import PaymentDesk
    from settlement.service.job_runner import JobRunner
    from settlement.signing import Signer
    from settlement.store.database import Database

logger = logging.getLogger(__name__)

_SEED_BYTES: Final = 16
_SEQUENCER_SECONDS: Final = 0.25
_WEBHOOK_SECONDS: Final = 0.25
#: Well within the scheduler's lease, which each look renews.
_SCHEDULE_SECONDS: Final = 5.0
#: Callers wait for these; deliveries take their time (spec §10.2).
_WEBHOOK_ASKED_SECONDS: Final = 4.0


@dataclass(slots=True, kw_only=True)
class Services:
    """The house, assembled. Built by `build`; `start` once, `close` once."""

    settings: Settings
    rules: Rules
    db: Database
    engine: Engine
    sequencer: Sequencer
    bundles: Bundles
    log_views: LogViews
    signer: Signer | None
    jobs: JobQueue
    rails: Mapping[str, Rail]
    #: Where buyers pay, on a rail that has such a place.
    desk: PaymentDesk | None
    effects: EffectRunner
    outbox: Outbox
    inbox: Inbox
    exchange: Exchange
    webhooks: Webhooks
    deliveries: Deliveries
    scheduler: Scheduler
    worker: Worker
    #: Why this process writes nothing, if it does not.
    behind: BehindCheckpoint | None = None
    #: Where traces go, if anywhere.
    tracer: OtelTracer | None = None
    _loops_run: bool = field(default=False, repr=False)

    def start(self, *, with_loops: bool = True) -> None:
        """Compare the log with its checkpoint, then start the engine and, if wanted, the loops.

        Raises CheckpointDiverged when the log contradicts what was signed.
        """
        if self.tracer is not None:
            tracing.install(self.tracer)
        self.behind = self.sequencer.check_checkpoint()
        if self.behind is not None:
            logger.critical("read-only: %s", self.behind.detail)
            self.engine.refuse(self.behind)
            return
        self._tell_in_flight()
        self.engine.add_listener(self.worker.committed)
        self.engine.start()
        if with_loops:
            self.worker.start()
            self._loops_run = True

    def _tell_in_flight(self) -> None:
        """After a crash, what a rail was sent looks like nothing: say that it is not forgotten."""
        found = self.db.read(effects_in_flight)
        if found:
            states = ", ".join(f"{count} {state}" for state, count in sorted(found.items()))
            count = sum(found.values())
            logger.info("%d effects in flight (%s), their rails will be asked", count, states)

    def close(self) -> None:
        """Finish what was taken, hand back what was leased, let go of the database."""
        if self._loops_run:
            # Before the engine: what a rail has said while we were stopping still gets booked.
            self.worker.stop()
            self._loops_run = False
        self.engine.close()
        self.effects.close()
        if self.desk is not None:
            self.desk.close()
        self.deliveries.close()
        self.scheduler.close()
        self.sequencer.close()
        for rail in self.rails.values():
            if isinstance(rail, SimulatedRail):
                rail.close()
        self.db.close()
        if self.tracer is not None:
            tracing.install(None)
            self.tracer.close()


def build(
    settings: Settings, clock: Clock | None = None, uptime: Uptime = machine_uptime
) -> Services:
    """Open and connect everything; nothing runs yet. The clocks are those of `open_database`.

    Raises ConfigError for a signing key that cannot be used, MigrationRefused for a database that
    is not at this release.
    """
    signer = _signer(settings)
    seal = _seal_key(settings)
    rails = choice.rails(settings)
    db = open_database(settings.database, clock, uptime)
    try:
        if pending := schema_state(db).pending:
            raise MigrationRefused(
                f"the database lacks migration {pending[0]}: run `settlement migrate`"
            )
        services = _connect(settings, db, signer, seal, rails)
        services.tracer = _tracer(settings)
        return services
    except BaseException:
        db.close()
        raise


def _connect(
    settings: Settings,
    db: Database,
    signer: Signer | None,
    seal: SealKey | None,
    rails: Mapping[str, Rail],
) -> Services:
    owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
    rules = rules_of(settings)
    jobs = JobQueue(db, lease_seconds=settings.job_lease_seconds)
    engine = Engine(
        db,
        rules,
        entropy=lambda: secrets.token_bytes(_SEED_BYTES),
        queue_limit=settings.queue_limit,
        batch_limit=settings.batch_limit,
    )
    log_settings = LogSettings(log_id=settings.log_id, checkpoint_file=settings.checkpoint_file)
    sequencer = Sequencer(db, signer, log_settings, owner=owner)
    bundles = Bundles(db, sequencer, signer)
    effects = EffectRunner(db, engine, jobs, rails, owner=owner)
    outbox = Outbox(db)
    inbox = Inbox(db, engine, jobs, choice.inbounds(settings), owner=owner)
    exchange = Exchange(db, engine, seal)
    loopback = settings.webhooks_to_loopback
    asked = Sender(allow_loopback_http=loopback, seconds=_WEBHOOK_ASKED_SECONDS)
    deliveries = Deliveries(db, Sender(allow_loopback_http=loopback), owner=owner)
    feed = Feed(db, asset=settings.default_asset, delay_seconds=settings.econ_feed_delay_seconds)
    kinds = _job_kinds(db, feed)
    runner = runner_of(db, kinds, lease_seconds=settings.job_lease_seconds, owner=owner)
    scheduler = Scheduler(db, jobs, periodic(kinds), owner=owner)
    loops = [
        *_loops(effects, inbox, outbox, sequencer, deliveries),
        *_kind_loops(kinds, runner, scheduler),
        # By the clock: no commit makes an intent due.
        Loop(name="exchange", step=exchange.step, wakes=_never),
    ]
    return Services(
        settings=settings,
        rules=rules,
        db=db,
        engine=engine,
        sequencer=sequencer,
        bundles=bundles,
        log_views=LogViews(db, bundles, signer, settings.log_id),
        signer=signer,
        jobs=jobs,
        rails=rails,
        desk=choice.desk(settings),
        effects=effects,
        outbox=outbox,
        inbox=inbox,
        exchange=exchange,
        webhooks=Webhooks(db, asked),
        deliveries=deliveries,
        scheduler=scheduler,
        worker=Worker(loops, jobs=jobs, owner=owner),
    )


def _loops(
    effects: EffectRunner,
    inbox: Inbox,
    outbox: Outbox,
    sequencer: Sequencer,
    deliveries: Deliveries,
) -> list[Loop]:
    return [
        Loop(name="effects", step=effects.step, wakes=has_jobs),
        Loop(name="inbox", step=inbox.step, wakes=_never),
        Loop(name="outbox", step=outbox.step, wakes=has_events),
        # Woken by commits, the sequencer would add a commit of its own to each of them. Exports do
        # not wait for it; they run a step themselves.
        Loop(
            name="sequencer",
            step=sequencer.step,
            interval_seconds=_SEQUENCER_SECONDS,
            wakes=_never,
        ),
        # What is due follows from the outbox and the sequencer, a moment after the commit.
        Loop(
            name="webhooks",
            step=deliveries.step,
            interval_seconds=_WEBHOOK_SECONDS,
            wakes=_never,
        ),
    ]


def _kind_loops(kinds: Sequence[JobKind], runner: JobRunner, scheduler: Scheduler) -> list[Loop]:
    handled = {kind.job_type for kind in kinds}
    return [
        Loop(
            name="jobs",
            step=runner.step,
            # Not by any job: each settle has one for the rail, which is not ours to look at.
            wakes=lambda writes: any(job.job_type in handled for job in writes.jobs),
        ),
        Loop(
            name="scheduler",
            step=scheduler.step,
            interval_seconds=_SCHEDULE_SECONDS,
            wakes=_never,
        ),
    ]


def _job_kinds(db: Database, feed: Feed) -> list[JobKind]:
    """The kinds of jobs of this release: who handles them, and which run by themselves.

    The one place to add another; take what its handler needs as a further argument.
    """
    kinds = [
        JobKind(job_type=FEED_RELEASE, handler=feed.handle, every_seconds=FEED_RELEASE_SECONDS),
        JobKind(job_type=BALANCES, handler=Balances(db).handle, every_seconds=BALANCES_SECONDS),
        JobKind(job_type=FORGET, handler=Forgetting(db).handle, every_seconds=FORGET_SECONDS),
    ]
    # It forgets the past periods of all kinds, its own too.
    entries = [*periodic(kinds), Every(job_type=PRUNE, period_seconds=PRUNE_SECONDS)]
    prune = Pruner(db, entries).handle
    return [*kinds, JobKind(job_type=PRUNE, handler=prune, every_seconds=PRUNE_SECONDS)]


def _never(_writes: WriteSet) -> bool:
    """For loops that go by the clock only."""
    return False


def _tracer(settings: Settings) -> OtelTracer | None:
    """Traces to a collector, when one is named."""
    if not settings.trace_endpoint:
        return None
    try:
        from settlement.edge.otel import OtelTracer
    except ImportError as error:
        raise ConfigError(
            "SETTLEMENT_TRACE_ENDPOINT",
            settings.trace_endpoint,
            f"the packages that send traces are not installed ({error.name})",
            "Install settlement[otel], or leave the setting empty.",
        ) from error
    return OtelTracer.to_collector(settings.trace_endpoint, float(settings.trace_ratio))


def rules_of(settings: Settings) -> Rules:
    """The settings that decisions depend on."""
    return Rules(
        sandbox=settings.sandbox,
        default_asset=settings.default_asset,
        fee_policy=settings.fee_policy,
        quote_days=settings.quote_days,
        default_price_minor=settings.default_price_minor,
        prices=settings.prices_minor,
        rail=settings.rail,
        rails_charging_alone=frozenset({SIMULATED}),
        payout_rails={choice.PAYOUT_NAMES[settings.rail]: settings.rail},
        public_url=settings.base_url,
    )


def _signer(settings: Settings) -> Signer:
    """The log's key. A sandbox makes one at its first start; live never does."""
    path, key_id = settings.signing_key_file, settings.log_key_id
    try:
        if settings.sandbox:
            return Ed25519FileSigner.open_or_create(path, key_id)
        return Ed25519FileSigner(path, key_id)
    except SigningKeyError as error:
        raise ConfigError(
            "SETTLEMENT_SIGNING_KEY_FILE", str(path), error.reason, error.advice
        ) from error


def _seal_key(settings: Settings) -> SealKey | None:
    """The key that seals bids: the setting, else the file, which a sandbox makes; live never does.

    Without one the server serves, and takes no bids.
    """
    if settings.seal_key:
        return SealKey(parse_seal_key(settings.seal_key))
    path = settings.seal_key_file
    try:
        if settings.sandbox:
            return SealKey(open_or_create_key_file(path))
        return SealKey(read_key_file(path)) if path.exists() else None
    except (SigningKeyError, ValueError) as error:
        raise ConfigError(
            "SETTLEMENT_SEAL_KEY",
            "",
            f"it is empty, and {path} cannot stand in: {error}",
            "Mend the file, or set the key itself.",
        ) from error
