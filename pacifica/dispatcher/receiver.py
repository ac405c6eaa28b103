"""The receiver factory: the one place where queue, engines and front door are put together.

.. code-block:: python

    ReceiveTaskModel = create_peewee_model(playhouse.db_url.connect('sqlite:///events.db'))
    queue = ReceiveTaskModel.create_queue(router, 'my.app', 'my.tasks.receive')
    application = ReceiveTaskModel.create_cherrypy_app(queue, script_name='/events')
    WorkerPlugin(cherrypy.engine, queue.create_worker(concurrency=4)).subscribe()

Nothing here touches the database: the table is made or upgraded when a worker or the application starts, or at first
use.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import peewee

from pacifica.dispatcher import _extras as extras
from pacifica.dispatcher import _http
from pacifica.dispatcher._engine.event_queue import Acceptor, EventQueue
from pacifica.dispatcher._engine.executor import Executor, RetryPolicy
from pacifica.dispatcher._engine.outages import SharedServices
from pacifica.dispatcher._engine.outgoing import Sender
from pacifica.dispatcher._engine.places import RouterPlaces
from pacifica.dispatcher._events import ReceivedEvent, loads
from pacifica.dispatcher._http import WorkerPlugin
from pacifica.dispatcher._operate.archive import TransactionUrl
from pacifica.dispatcher._queue.connections import Connections
from pacifica.dispatcher._queue.operator import Operator
from pacifica.dispatcher._queue.overview import Overview
from pacifica.dispatcher._queue.previews import Previews
from pacifica.dispatcher._queue.readiness import Readiness
from pacifica.dispatcher._queue.record import Record
from pacifica.dispatcher._queue.records import Records
from pacifica.dispatcher._queue.schema import ensure_schema, try_writing
from pacifica.dispatcher._queue.search import Search
from pacifica.dispatcher._queue.store import Store
from pacifica.dispatcher._queue.values import QueueName
from pacifica.dispatcher._queue.writer import Writer
from pacifica.dispatcher.authentication import Authenticate
from pacifica.dispatcher.hooks import Callback, Notifies, listed
from pacifica.dispatcher.router import Router
from pacifica.dispatcher.task_context import Services

if TYPE_CHECKING:
    import celery
    import cherrypy

__all__ = ['EventQueue', 'ReceiveTaskModelBase', 'WorkerPlugin', 'create_peewee_model']


class ReceiveTaskModelBase(Record):
    """What :func:`create_peewee_model` returns a subclass of: the table, and the factories of what works with it."""

    _writer: Writer

    @classmethod
    def create_table(cls, safe: bool = True, **options: Any) -> None:
        """Make the table, or upgrade one of the 0.2 series in place; peewee's arguments are accepted and ignored."""
        cls.migrate()

    @classmethod
    def migrate(cls) -> str:
        """Make the table or upgrade it in place; return ``'created'``, ``'upgraded'`` or ``'current'``.

        :raises peewee.PeeweeException: as the database says why not.
        """
        return cls._writer.connections.prepare()

    @classmethod
    def close_connections(cls) -> None:
        """Close what queue and front door have open, until they need it again; not the application's connections."""
        cls._writer.connections.close()

    @classmethod
    def create_queue(
        cls, router: Router, name: str, receive_task_name: str, *, retry_for: Sequence[type[BaseException]] = (),
        max_attempts: int = 3, backoff: float = 5.0, patience: float = 86_400.0, deduplicate: bool = True,
        max_backlog: int | None = None, on_finished: Callback | None = None, on_failed: Callback | None = None,
        notify: Notifies = None, metrics: bool = False, tracing: bool = False, keep_previews: int = 1_000_000_000,
    ) -> EventQueue:
        """Return the event queue of an application in this table.

        :param router: which handler an event goes to.
        :param name: the application's name, ``task_application_name`` on its records.
        :param receive_task_name: the task's name, ``task_name`` on its records. The two say whose events these are.
        :param retry_for: exception classes after which an event is run again; by default only transfers whose
            failure was transient, and ``RetryLater``.
        :param max_attempts: how often an event is run at most.
        :param backoff: seconds before the second attempt; each further wait is four times as long, up to an hour.
        :param patience: seconds that an event waits in all for services that can't be reached or answer 5xx, and for
            a full disk; its attempts aren't counted meanwhile, and it ends in ``500`` after that. With 0 such faults
            count as any other that is transient.
        :param deduplicate: whether an event with the source and id of an earlier one is that event again.
        :param max_backlog: how many events may wait before more are refused with :class:`QueueFullError`; by default
            any number.
        :param on_finished: called with a :class:`~pacifica.dispatcher.hooks.FinishedTask` for each event that has
            ended, at most once for each end, in the process that ended it, after the commit; by several threads at
            the same time. What it raises is logged.
        :param on_failed: the same, for events that have ended in ``422`` or ``500`` alone.
        :param notify: who gets a CloudEvent for each event that has ended, stored with the end and sent at least once;
            one :class:`~pacifica.dispatcher.hooks.Notify` or several, the same in all processes with workers.
        :param metrics: whether what the workers do is counted for Prometheus; needs the extra ``metrics``.
        :param tracing: whether each attempt is a span of OpenTelemetry's; needs the extra ``otel``, and the SDK set up
            by the application.
        :param keep_previews: bytes of all images together that handlers have made to be looked at
            (``event.preview()``); the oldest go first. 0 keeps none.
        :raises ConfigurationError: if two of *notify* have the same name, or metrics or tracing are wanted and not
            installed.
        """
        queue, receivers = QueueName(name, receive_task_name), listed(notify)
        store = Store(
            cls._writer, queue, deduplicate=deduplicate, max_backlog=max_backlog, places=RouterPlaces(router),
            keep_previews=keep_previews)
        policy = RetryPolicy(tuple(retry_for), max_attempts, backoff, patience=patience)
        services = SharedServices(store) if patience else Services()
        extensions = extras.extensions(queue, on_finished, on_failed, receivers, metrics, tracing)
        executor = Executor(router, name, policy, store, extensions, services)
        return EventQueue(store, executor, Sender(receivers))

    @classmethod
    def create_celery_app(
        cls, router: Router, name: str, receive_task_name: str, *args: Any,
        retry_for: Sequence[type[BaseException]] = (), max_attempts: int = 3, backoff: float = 5.0,
        patience: float = 86_400.0, deduplicate: bool = True, max_backlog: int | None = None,
        on_finished: Callback | None = None, on_failed: Callback | None = None, notify: Notifies = None,
        lease: float = 15.0, keep_unrouted: float | None = 86_400.0, metrics: bool = False, tracing: bool = False,
        keep_previews: int = 1_000_000_000, **kwargs: Any,
    ) -> celery.Celery:
        """Return a Celery application with a task that runs the events of this table.

        ``celery_app.tasks[receive_task_name].delay(event)`` stores the CloudEvent given as a dict, then publishes its
        task id, which is the result's ``id``. Give the task to :meth:`create_cherrypy_app`. All that is not listed here
        is the same as for :meth:`create_queue`.

        :param args: passed on to ``celery.Celery`` after the name, as *kwargs* is: broker, backend and so on.
        :param lease: seconds after which the event of a worker that died runs elsewhere.
        :param keep_unrouted: seconds after which events that no route matched are deleted; ``None`` keeps them.
        :param metrics: where Celery forks its workers, processes must share ``PROMETHEUS_MULTIPROC_DIR``.
        :raises ConfigurationError: if Celery is not installed, or what is wanted besides is not.
        """
        with extras.needing('Celery', 'create_celery_app', 'celery'):
            from pacifica.dispatcher._engine.celery_app import create_celery_app
        queue = cls.create_queue(
            router, name, receive_task_name, retry_for=retry_for, max_attempts=max_attempts, backoff=backoff,
            patience=patience, deduplicate=deduplicate, max_backlog=max_backlog, on_finished=on_finished,
            on_failed=on_failed, notify=notify, metrics=metrics, tracing=tracing, keep_previews=keep_previews)
        return create_celery_app(
            queue.create_task_runner(lease, keep_unrouted), receive_task_name, name, *args, **kwargs)

    @classmethod
    def create_cherrypy_app(
        cls, receive_task: Any, script_name: str = '', *, authenticate: Authenticate | None = None,
        allowed_hosts: Iterable[str] | None = None, allowed_origins: Iterable[str] | None = None,
        allowed_rate: int | None = None, max_body: int = 100_000_000, request_timeout: float = 30.0,
        metrics: bool = False, dashboard: bool = True, transaction_url: str | None = None,
    ) -> cherrypy.Application:
        """Return the front door as a CherryPy application: mount it, or call it from any WSGI server.

        :param receive_task: where events go: an :class:`EventQueue`, or anything whose ``delay(event)`` stores a
            CloudEvent given as a dict and returns an object with an ``id``, such as a Celery task.
        :param script_name: where it is mounted, for example ``/events``; the default is the root.
        :param authenticate: who may come in, see :mod:`pacifica.dispatcher.authentication`; by default everybody.
        :param allowed_hosts: by which names browsers may ask for it, ``['*']`` for any, besides ``localhost`` and
            addresses, if there is no authentication; also programs that read, if the server listens on the loopback
            only. Other names may be those of web sites that lead a browser here.
        :param allowed_origins: which senders of webhooks get a yes to their handshake, ``['*']`` for all; by default
            none do, but all if there is no authentication and the server listens on the loopback only.
        :param allowed_rate: deliveries per minute that are taken, of all senders together, before ``429`` is answered;
            by default any number.
        :param max_body: the largest body of a request, in bytes.
        :param request_timeout: seconds within which a request must have arrived, and a response be taken by the
            client, with CherryPy's own server; other WSGI servers have their own settings.
        :param metrics: whether ``/metrics`` is served to who may read: what the front door receives, what is in the
            database, and what the queues of this process count if they do; needs the extra ``metrics``.
        :param dashboard: whether there are pages for people at ``/dashboard/``.
        :param transaction_url: the address of the archive's page of a transaction, which the dashboard links to:
            ``https://archive.example/transactions/{transaction}``.
        :raises ConfigurationError: if metrics are wanted and not installed, or an argument is none of these.
        """
        def delay(events: Sequence[ReceivedEvent]) -> list[str]:
            return [str(receive_task.delay(loads(event.event_json)).id) for event in events]

        connections = cls._writer.connections
        records, search = Records(connections), Search(connections)
        operator, previews = Operator(cls._writer), Previews(connections)
        archive = None if transaction_url is None else TransactionUrl(transaction_url)
        return _http.create_application(
            receive_task.accept if isinstance(receive_task, Acceptor) else delay,
            records,
            operator=operator,
            ready=Readiness(connections),
            metrics=extras.exposition(connections) if metrics else None,
            script_name=script_name,
            on_start=cls._on_start,
            authenticate=authenticate,
            allowed_hosts=allowed_hosts,
            allowed_origins=allowed_origins,
            allowed_rate=allowed_rate,
            max_body=max_body,
            request_timeout=request_timeout,
            dashboard=_http.Dashboard(records, search, Overview(connections), operator, previews, archive)
            if dashboard else None,
            previews=previews,
            search=search,
        )

    @classmethod
    def _on_start(cls) -> None:
        cls._writer.connections.require_shared()
        cls.create_table()


def create_peewee_model(passed_db: peewee.Database) -> type[ReceiveTaskModelBase]:
    """Return the model class of accepted events in *passed_db*, table ``receivetaskmodel``.

    :param passed_db: SQLite, PostgreSQL, MariaDB or MySQL; a proxy or a deferred database may be initialized later.
    """
    class ReceiveTaskModel(ReceiveTaskModelBase):
        """Accepted events; see :class:`ReceiveTaskModelBase`."""

        _writer = Writer(Connections(passed_db, ensure_schema, try_writing=try_writing))

        class Meta:
            """The database given to the factory."""

            database = passed_db

    return ReceiveTaskModel
