"""What a routes file may say: the tables and their keys, with what people are told of each, in editors too."""

from __future__ import annotations

from typing import Annotated, Any, Union

import msgspec
from msgspec import Meta, Struct

Text = Union[str, int, float]
#: A length of time, a size: a text with a unit, or a number of seconds or bytes.
Quantity = Union[str, int, float]


class NotTexts(Struct, forbid_unknown_fields=True, rename={'values': 'not'}):
    """None of these."""

    values: str | list[str]


class NotValues(Struct, forbid_unknown_fields=True, rename={'values': 'not'}):
    """None of these."""

    values: Text | list[Text]


Texts = Union[str, list[str], NotTexts]
Values = Union[Text, list[Text], NotValues]


class When(Struct, forbid_unknown_fields=True, rename={'not_': 'not'}, omit_defaults=True):
    """Which events a route takes: those for which everything in here holds."""

    type: Annotated[Texts | None, Meta(description='The type of the event, or several.')] = None
    project: Annotated[Values | None, Meta(description='The id of the project, or several.')] = None
    instrument: Annotated[Values | None, Meta(description='The id of the instrument, or several.')] = None
    submitter: Annotated[Values | None, Meta(description='The id of the user who uploaded, or several.')] = None
    key_values: Annotated[dict[str, Values] | list[str] | None, Meta(
        description='Key-values that the transaction has, each with its value or several; or a list of keys.')] = None
    files: Annotated[Texts | None, Meta(
        description='Patterns of .gitignore, one of which a file matches: "*.csv", "raw/**".')] = None
    not_: Annotated[When | None, Meta(description='What must not hold.')] = None
    any: Annotated[list[When] | None, Meta(description='Alternatives, one of which holds.')] = None


class Upload(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What is said of the upload."""

    key_values: Annotated[dict[str, str], Meta(description='Key-values of each upload.')] = {}


class RouteTable(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A route: which events it takes, and what runs. The first that takes an event runs it."""

    name: Annotated[str, Meta(
        description='What the route is called, in the dashboard, metrics and lineage; each has its own.')]
    when: Annotated[When | None, Meta(description='Which events it takes; every one, if this is left out.')] = None
    jsonpath: Annotated[str | None, Meta(description='A JSONPath that selects something in the event.')] = None
    command: Annotated[str | list[str] | None, Meta(
        description='The program to run and its arguments; with shell = true, a text for /bin/sh.')] = None
    shell: Annotated[bool, Meta(description='Whether a shell runs the command.')] = False
    environment: Annotated[dict[str, str] | None, Meta(
        description='Environment variables of the command, besides the service\'s.')] = None
    nice: Annotated[int, Meta(description='Is added to the niceness of the command.')] = 0
    handler: Annotated[str | None, Meta(
        description='The handler to run, MODULE:NAME: a class, an object, or a function that makes one.')] = None
    options: Annotated[dict[str, Any] | None, Meta(description='Keyword arguments of the handler\'s class.')] = None
    download: Annotated[bool, Meta(description='Whether the event\'s files are fetched.')] = True
    stage_in: Annotated[str | list[str] | None, Meta(
        description='Patterns of .gitignore: which of the files are fetched; all, if this is left out.')] = None
    upload: Annotated[bool | Upload, Meta(
        description='false: results are not uploaded. { key_values = {…} }: they are, with these.')] = True
    previews: Annotated[str | list[str] | None, Meta(
        description='Patterns of .gitignore: which of the files it makes are images to be shown, "*.png".')] = None
    timeout: Annotated[Quantity | None, Meta(
        description='How long it may run until it is killed: "90s", "10m", "2h"; a number is seconds.')] = None
    memory: Annotated[Quantity | None, Meta(
        description='Address space that it may have: "3GB", "512MiB"; a number is bytes.')] = None
    concurrency: Annotated[int | None, Meta(
        description='How many of its events run at once, over all workers; any number, if this is left out.')] = None
    concurrency_key: Annotated[str | None, Meta(
        description='"project", "instrument", "submitter" or "kv:NAME": concurrency is for each value of it.')] = None
    priority: Annotated[int, Meta(description='Events of a higher one run first.')] = 0
    parameters: Annotated[dict[str, Any] | None, Meta(
        description='Parameters of what it runs, with their defaults; events may be run again with others.')] = None
    download_timeout: Annotated[Quantity | None, Meta(
        description='How long the download may go on without progress; 3 minutes, if this is left out.')] = None
    upload_timeout: Annotated[Quantity | None, Meta(
        description='How long the upload may go on without progress; 3 minutes, if this is left out.')] = None
    keep_failed: Annotated[bool | str, Meta(
        description='Keep the directories of events that failed: true, or the directory to move them to.')] = False
    loops: Annotated[str, Meta(
        description='Whether it takes events of its own uploads.', extra_json_schema={'enum': ['stop', 'allow']},
    )] = 'stop'


class Archive(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Where files come from, and where results go."""

    download: Annotated[str, Meta(description='"remote": Pacifica Cartd. Else a directory with the files.')] = 'remote'
    upload: Annotated[str, Meta(
        description='"remote": Pacifica Ingest. Else a directory, in which bundles are left.')] = 'remote'
    cartd: Annotated[str | None, Meta(
        description='The URL of Cartd; else as the environment of its client says.')] = None
    ingest: Annotated[str | None, Meta(
        description='The URL of Ingest; else as the environment of its client says.')] = None


class RoutesTable(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Routes of Pacifica Dispatcher, for "serve", "work" and "check"."""

    archive: Archive = msgspec.field(default_factory=Archive)
    service: Annotated[dict[str, Any], Meta(
        description='Settings of "serve" and "work": their long options, with underscores.')] = {}
    route: Annotated[list[RouteTable], Meta(description='The routes, in the order in which they are asked.')] = []


def schema() -> dict[str, Any]:
    """Return the JSON schema of a routes file, which the package has in ``routes.schema.json`` for editors."""
    dialect = 'https://json-schema.org/draft/2020-12/schema'
    found = msgspec.json.schema(RoutesTable)
    return {'$schema': dialect, **_without_null(found), 'title': 'Routes of Pacifica Dispatcher'}


def _without_null(part: Any) -> Any:
    """Return a part of a schema without the alternative of no value, which TOML can't say."""
    if isinstance(part, list):
        return [_without_null(each) for each in part if each != {'type': 'null'}]
    if not isinstance(part, dict):
        return part
    kept = {key: _without_null(value) for key, value in part.items() if (key, value) != ('default', None)}
    if len(kept.get('anyOf', ())) == 1:
        kept.update(kept.pop('anyOf')[0])
    return kept
