"""Which events are wanted, and the conditions by which a database finds them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pacifica.dispatcher._queue.record import TABLE, placeholders, storable
from pacifica.dispatcher._queue.records import Conditions
from pacifica.dispatcher._queue.session import Session
from pacifica.dispatcher._queue.status import Status

_TEXTS = ('event_id', 'source', 'event_type', 'route', 'exc_type', 'exc_value')
#: Statuses in which there are few events as a rule, or that have an index in the order of the list.
_INDEXED = frozenset({Status.FAILED, Status.UNPROCESSABLE})
_SORTABLE = 5000  # so many rows are sorted in no time
_FEW = frozenset({Status.ACCEPTED, Status.PROCESSING})


@dataclass(frozen=True)
class Filter:
    """Which events are wanted: those that fit everything given.

    :param status: a status string.
    :param event_type: the event's type, whole.
    :param source: the event's source, whole.
    :param transaction_id: the id of the Pacifica transaction that the event is about.
    :param parent_transaction: the id of the Pacifica transaction that the event's was made from.
    :param project: the project of the transaction that the event is about.
    :param instrument: its instrument.
    :param submitter: who submitted it.
    :param route: the name of the route that has run it.
    :param key_value: one of its key-values, ``KEY=VALUE``.
    :param file: the name or the path of one of its files; ``*``, ``?`` and ``[…]`` stand for other characters.
    :param since: created at this UTC time or later, ``YYYY-MM-DD HH:MM:SS.ffffff``.
    :param until: created before this time.
    :param group: failed as others did, see :class:`~pacifica.dispatcher._queue.failing.FailureGroup`.
    :param routed: leaves out events that no route matched.
    :param text: the whole of a task id, event id or transaction id; else what occurs, in upper or lower case, in the
        event's id, source, type or route, or in its error.
    """

    status: Status | None = None
    event_type: str | None = None
    source: str | None = None
    transaction_id: str | None = None
    parent_transaction: str | None = None
    project: str | None = None
    instrument: str | None = None
    submitter: str | None = None
    route: str | None = None
    key_value: str | None = None
    file: str | None = None
    since: str | None = None
    until: str | None = None
    text: str | None = None
    routed: bool = False
    group: str | None = None

    @property
    def of_data(self) -> bool:
        """Whether the data of events are to be read to know which fit."""
        return self.key_value is not None or self.file is not None


def conditions_of(
    session: Session, wanted: Filter, position: tuple[str, UUID] | None, *, most: int,
) -> tuple[Conditions, Conditions]:
    """Return the conditions that one index serves in the order of the list, and those for the rows that it finds.

    :param position: the time of creation and the task id of the event after which to go on.
    :param most: how many events of the same id are told from others.
    """
    text = (wanted.text or '').strip()
    identified = _identified(session, text, position, most) if text else None
    driving, rest = identified or Conditions(session), Conditions(session)
    equal = [('failure_group', wanted.group), ('transaction_id', wanted.transaction_id),
             ('parent_transaction', wanted.parent_transaction), ('submitter', wanted.submitter),
             ('project', wanted.project), ('instrument', wanted.instrument),
             ('source', wanted.source), ('event_type', wanted.event_type)]
    if wanted.status is not None:
        fewer = identified, wanted.group, wanted.transaction_id, wanted.parent_transaction
        by_status = not any(each is not None for each in fewer) and (
            wanted.status in _INDEXED or (wanted.status in _FEW and _is_rare(session, wanted.status)))
        (driving if by_status else rest).add(f"task_status = '{wanted.status}'")  # written out, for partial indexes
    for column, value in equal:
        if value is not None:
            (rest if driving.texts else driving).equal(column, value)
    if wanted.since is not None:
        driving.add('created >= ?', wanted.since)
    if wanted.until is not None:
        driving.add('created < ?', wanted.until)
    if wanted.route is not None:
        rest.equal('route', wanted.route)
    if wanted.routed:
        rest.add(f"task_status <> '{Status.UNPROCESSABLE}'")
    if position is not None:
        driving.older(position[0], session.dialect.uuid(position[1]))
    if text and identified is None:
        escaped = text.replace('!', '!!').replace('%', '!%').replace('_', '!_')
        texts = ' OR '.join(session.dialect.contains.format(column=column) for column in _TEXTS)
        rest.add(f'({texts})', *[f'%{storable(escaped)}%'] * len(_TEXTS))
    return driving, rest


def _identified(
    session: Session, text: str, position: tuple[str, UUID] | None, most: int,
) -> Conditions | None:
    """Return the condition that chooses the events whose task id, event id or transaction id *text* is, if any.

    :param position: passes over events that have come since its, so that a page searches as the one before it did.
    """
    texts, parameters = list[str](), list[Any]()
    if _having(session, 'transaction_id', text, position, 1):
        texts.append('transaction_id = ?')
        parameters.append(text)
    # Not by the event id itself, whose index isn't in the order of the list: one that is would be gone through.
    task_ids = _having(session, 'event_id', text, position, most)
    with suppress(ValueError):
        task_ids += _having(session, 'task_id', session.dialect.uuid(UUID(text)), position, 1)
    if task_ids:
        texts.append(f'task_id IN ({placeholders(len(task_ids))})')
        parameters += task_ids
    if not texts:
        return None
    conditions = Conditions(session)
    conditions.add(f'({" OR ".join(texts)})', *parameters)
    return conditions


def _having(session: Session, column: str, value: str, position: tuple[str, UUID] | None, limit: int) -> list[Any]:
    """Return the task ids of at most *limit* events that have *value* and aren't newer than *position*."""
    conditions = Conditions(session)
    conditions.equal(column, value)
    if position is not None:
        conditions.add('created <= ?', position[0])
    return [row[0] for row in session.execute(
        f'SELECT task_id FROM {TABLE}{conditions.where} LIMIT {limit:d}', conditions.parameters).fetchall()]


def _is_rare(session: Session, status: Status) -> bool:
    """Return whether the events in *status* are so few that sorting all of them costs little."""
    return session.execute(
        f"SELECT 1 FROM {TABLE} WHERE task_status = '{status}' LIMIT 1 OFFSET {_SORTABLE}").fetchone() is None
