"""What people write in a JSONPath that jsonpath2 does not read, and what it reads instead: the table of both."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import NamedTuple

# Strings stand in the text as numbers between these while it is looked at: what is in them is nobody's mistake.
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_KEPT = re.compile('\ue000(\\d+)\ue001')
_NUMBER = re.compile(r'\d+(?:[eE][-+]?\d+)?')
_NAME = re.compile(r'[A-Za-z_][A-Za-z0-9_]*')


class Cure(NamedTuple):
    """A form that jsonpath2 refuses, what to say of it, and what to put in its place, if that can be said."""

    refused: str  # a regular expression
    says: str
    instead: str | Callable[[re.Match[str]], str] | None = None


def _in_quotes(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # jsonpath2 knows no escapes


def _member(match: re.Match[str]) -> str:
    known = _NUMBER.fullmatch(match[1]) or _NAME.fullmatch(match[1])
    return match[0] if known else f'[{_in_quotes(match[1])}]'


# Of strings alone: what they hold is no mistake once they are some.
_QUOTES = (
    Cure('[“”„]([^“”„"]*)[“”„]', 'write "…" with straight quotes', lambda match: _in_quotes(match[1])),
    Cure(r"'((?:[^'\\]|\\.)*)'", 'write "…" for \'…\'',
         lambda match: _in_quotes(match[1].replace("\\'", "'"))),
)
CURES = (
    Cure(r'^[^?]*[=<>].*', 'a comparison is in a filter, as in $[?(@["eventType"] = "…")]'),
    Cure(r'={2,3}', 'write = for ==', '='),
    Cure(r'<>|!==?', 'write != for is not equal', '!='),
    Cure(r'\s*&&\s*', 'write and for &&', ' and '),
    Cure(r'\s*\|\|\s*', 'write or for ||', ' or '),
    Cure(r'!(?!=)\s*', 'write not for !', 'not '),
    Cure(r'(?<![\w.])(AND|OR|NOT)\b', 'write and, or and not in small letters', lambda match: match[1].lower()),
    Cure(r'(?<![\w.])(True|False)\b', 'write true and false in small letters', lambda match: match[1].lower()),
    Cure(r'(?<![\w.])(None|nil|undefined)\b', 'write null for no value', 'null'),
    Cure(r'(?<![\w.])is\s+not\b', 'write != for is not', '!='),
    Cure(r'(?<![\w.])is\b', 'write = for is', '='),
    Cure(r'(?<![\w.\[])(?:match|search)\(|=~|(?<![\w.])like\b',
         'there are no regular expressions: compare the end or beginning, as in @["name"][substring(-4)] = ".csv"'),
    Cure(r'(?<![\w.\[])count\(', 'there is no count(): @["data"][length()] is how many elements an array has'),
    Cure(r'(?<![\w.])in\b', 'there is no in: compare with each, as in @["key"] = "a" or @["key"] = "b"'),
    Cure(r'(?<![\w.\[])length\(\s*([^()]*?)\s*\)', 'write a function after its value, as in @["name"][length()]',
         r'\1[length()]'),
    Cure(r'(?<![\w.\[])value\(\s*([^()]*?)\s*\)', 'write the path alone for value(…)', r'\1'),
    Cure(r'\[\s*\(\s*@\.length\s*-\s*(\d+)\s*\)\s*\]', 'write [-1] for the last element', r'[-\1]'),
    Cure(r'\.(?!\.)([-\w]+)', 'write a name that has more than letters, digits and _ as ["…"]', _member),
    Cure(r'(?<=[=<>])(\s*)(?!(?:true|false|null)\b)([A-Za-z_]\w*)', 'write text that is compared as "…"', r'\1"\2"'),
)
_BARE = 'write a filter as ?(…), with parentheses'
_NO_ROOT = 'begin with $, the event'
_FUNCTIONS = 'charAt(N), entries(), keys(), length(), substring(FROM,TO) and values()'
_CALLED = re.compile(r'[.\[]\s*([A-Za-z_]\w*)\s*\(')
_KNOWN = frozenset(re.findall(r'(\w+)\(', _FUNCTIONS))


def cured(text: str) -> tuple[list[str], str | None]:
    """Return what to say of a path that was refused, and the path with all of that cured, if that can be done."""
    said: list[str] = []
    kept: list[str] = []

    def keep(match: re.Match[str]) -> str:
        kept.append(match[0])
        return f'\ue000{len(kept) - 1}\ue001'

    masked = _STRING.sub(keep, text.strip())
    for cure in _QUOTES:
        masked = _STRING.sub(keep, _applied(cure, masked, said))
    for cure in CURES:
        if cure.instead is None and re.search(cure.refused, masked):
            return [*said, cure.says], None
        masked = _applied(cure, masked, said)
    masked = _with_parentheses(masked, said)
    if masked and not masked.startswith('$'):
        said.append(_NO_ROOT)
        masked = f'${masked[1:]}' if masked.startswith('@') else f'$.{masked}'
    said += [f'there is no {name}(): there are {_FUNCTIONS}' for name in _CALLED.findall(masked) if name not in _KNOWN]
    return said, _KEPT.sub(lambda match: kept[int(match[1])], masked)


def _applied(cure: Cure, text: str, said: list[str]) -> str:
    better = text if cure.instead is None else re.sub(cure.refused, cure.instead, text)
    if better != text:
        said.append(cure.says)
    return better


def _with_parentheses(text: str, said: list[str]) -> str:
    """Return *text* with each filter in parentheses, of which all of it is in one pair."""
    at = text.find('?')
    while at >= 0:
        end = _closing(text, at + 1)
        body = text[at + 1:end].strip()
        if not (body.startswith('(') and _closing(body, 1) == len(body) - 1):
            text = f'{text[:at]}?({body}){text[end:]}'
            if _BARE not in said:
                said.append(_BARE)
        at = text.find('?', at + 1)
    return text


def _closing(text: str, start: int) -> int:
    """Return where the bracket or parenthesis ends that *start* is in, or the end of *text*."""
    depth = 0
    for at in range(start, len(text)):
        depth += (text[at] in '([') - (text[at] in ')]')
        if depth < 0:
            return at
    return len(text)
