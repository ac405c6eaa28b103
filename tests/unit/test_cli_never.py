"""A path that can't match is warned of, and a path that may match is not."""

from __future__ import annotations

from typing import Any

import pytest
from jsonpath2.path import Path

from pacifica.dispatcher._operate.never import why_never

ROW = '$["data"][*][?(@["destinationTable"] = %s)]'


@pytest.mark.parametrize('path, reasons', [
    ('$.data[?(@.name = "a.csv")]', [
        '$["data"] is an array, and what is asked is a field of its elements: '
        'write $["data"][*][?(@["name"] = "a.csv")]']),
    ('$.data.name', [
        '$["data"] is an array, and what is asked is a field of its elements: write $["data"][*]["name"]']),
    ('$[?(@.eventType = "x" and @.data[?(@.size > 3)])]', [
        '@["data"] is an array, and what is asked is a field of its elements: write @["data"][*][?(@["size"] > 3)]']),
    (ROW % '"Files" and @.filename = "a"', [
        'a row of Files has no field "filename": write "name"']),
    (ROW % '"Files" and @.colour', [
        'a row of Files has no field "colour": it is one of destinationTable, _id, ctime, encoding, hashsum, hashtype, '
        'mimetype, mtime, name, size, subdir, suspense_date']),
    (ROW % '"TransactionKeyValue" and @.Key[length()] = 3', [
        'a row of TransactionKeyValue has no field "Key": write "key"']),
    (ROW % '"File"', ['no row has the destinationTable "File": write "Files"']),
    (ROW % '"Files" and @.destinationTable = "TransactionKeyValue"', [
        '@["destinationTable"] can\'t be "Files" and "TransactionKeyValue": '
        'what holds for different rows is in different filters']),
    ('$[?(@.eventType = "a" and "b" = @.eventType)]', [
        '@["eventType"] can\'t be "a" and "b": what holds for different rows is in different filters']),
    ('$.data[*][?(@.mtime > "2026")]', ['@["mtime"] > "2026" is never true: > compares numbers only']),
])
def test_what_never_matches_is_said(path: str, reasons: list[str]) -> None:
    assert why_never(Path.parse_str(path)) == reasons


@pytest.mark.parametrize('path', [
    '$', '$..[?(@.size > 3)]', '$.data',
    '$.data[*].name', '$.data[0].name', '$..name', '$.data[?(@.method = "INSERT")]', '$.data.obj_type',
    ROW % '"Files" and not @.filename', ROW % '"Files" or @.filename', ROW % '"Files" and @.size > 3 and @.name = "a"',
    ROW % '"Files" and (@.name = "a" or @.colour = "b")', ROW % '"Transactions.instrument" and @.value = 54',
    '$.data[*][?(@.key = "a" and @.value = 1 and 1.0 = @.value)]', '$[?(@.a[*] = 1 and @.a[*] = 2)]', '$[?(1 < 2)]',
    '$[?(@.data[*][?(@.name)] and $.data[*].name = "a")]', '$.extensions.data[?(@.name)]', '$[?(not @.data.name)]',
    '$[?(@.a.b = 1 and @.a.b = 1 and @.a.c = 2)]', '$.data[?(@[length()] > 3)]',
])
def test_of_what_may_match_nothing_is_said(path: str) -> None:
    assert why_never(Path.parse_str(path)) == []


def test_a_path_of_ones_own_is_not_judged() -> None:
    class Mine(Path):  # type: ignore[misc]  # jsonpath2 has no types
        def match(self, root_value: object) -> Any:
            return [root_value]

    assert why_never(Mine.parse_str('$.data.name')) == []
    assert why_never(object()) == []
