"""JSON Schemas (draft 2020-12) of the events that are accepted, from the tables that they are checked by."""

from __future__ import annotations

from typing import Any

from pacifica.dispatcher._events import version_0_1, version_1_0

_NOT_EMPTY: dict[str, Any] = {'type': 'string', 'minLength': 1}
_OPTIONAL: dict[str, Any] = {'type': ['string', 'null'], 'minLength': 1}
_EXTENSION: dict[str, Any] = {
    'type': ['string', 'boolean', 'integer', 'null'], 'minimum': -2**31, 'maximum': 2**31 - 1,
}
_TIME: dict[str, Any] = {'type': ['string', 'null'], 'format': 'date-time'}
_BASE64: dict[str, Any] = {
    'type': 'string', 'contentEncoding': 'base64',
    'pattern': '^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$',
}


def _of_0_1() -> dict[str, Any]:
    return {
        'type': 'object',
        'description': 'CloudEvents 0.1, what Pacifica Notifications sends',
        'required': list(version_0_1.REQUIRED),
        'properties': {
            **dict.fromkeys(version_0_1.REQUIRED, _NOT_EMPTY),
            **dict.fromkeys(version_0_1.OPTIONAL, _OPTIONAL),
            'extensions': {'type': ['object', 'null']},
            'data': {'description': 'any JSON'},
        },
        'not': {'required': ['specversion']},
    }


def _of_1_0(version: str, schema: str) -> dict[str, Any]:
    optional = ('datacontenttype', 'subject', schema)
    properties = {
        **dict.fromkeys(version_1_0.REQUIRED, _NOT_EMPTY),
        'specversion': {'const': version},
        **dict.fromkeys(optional, _OPTIONAL),
        'time': _TIME,
        'data': {'description': 'any JSON'},
    }
    if version == '1.0':
        properties['data_base64'] = _BASE64
    return {
        'type': 'object',
        'description': f'CloudEvents {version}',
        'required': list(version_1_0.REQUIRED),
        'properties': properties,
        'patternProperties': {f'^(?!({"|".join(properties)})$)[a-z0-9]+$': _EXTENSION},
        'propertyNames': {'pattern': '^([a-z0-9]+|data_base64)$' if version == '1.0' else '^[a-z0-9]+$'},
        **({'not': {'required': ['data', 'data_base64']}} if version == '1.0' else {}),
    }


#: name → schema
SCHEMAS: dict[str, dict[str, Any]] = {
    'Event_0_1': _of_0_1(), 'Event_0_3': _of_1_0('0.3', 'schemaurl'), 'Event_1_0': _of_1_0('1.0', 'dataschema'),
}
