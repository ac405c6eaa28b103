"""The programs and commands that the documents show, so that tests can run what users will copy."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

PROJECT = Path(__file__).parents[2]
README = PROJECT / 'README.md'
TUTORIAL = PROJECT / 'docs' / 'tutorial.rst'
DEPLOYMENT = PROJECT / 'docs' / 'deployment.rst'
DEPLOYED = PROJECT / 'docs' / 'deployment'
HOOKS = PROJECT / 'docs' / 'hooks.rst'


def markdown_blocks(path: Path, language: str) -> list[str]:
    """Return the fenced blocks of *language* in a Markdown document, in their order."""
    return re.findall(rf'^```{language}\n(.*?)^```$', path.read_text('utf-8'), re.MULTILINE | re.DOTALL)


def rst_blocks(path: Path, language: str) -> dict[str, str]:
    """Return the blocks of *language* in a reStructuredText document: caption (a file name, or a number) → text."""
    found: dict[str, str] = {}
    pattern = rf'^\.\. code-block:: {language}\n((?:   :\w+:.*\n)*)\n((?:   .*\n|\n)+)'
    for options, body in re.findall(pattern, path.read_text('utf-8'), re.MULTILINE):
        caption = re.search(r':caption: (\S+)', options)
        found[caption[1] if caption else str(len(found))] = textwrap.dedent(body).strip() + '\n'
    return found
