"""What the README says, for machines: its commands with the output that it shows, and its examples."""

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
README = ROOT / "README.md"
EXAMPLES = ROOT / ".github" / "EXAMPLES.md"

_PART = re.compile(r'# (?:(?P<title>[^"]+)\. )?(?P<file>[\w./-]+\.(?:py|yaml))(?:, (?P<place>.+))?')


@dataclass
class Command:
    """A line that the README gives to the shell, and the lines that it shows below."""

    chapter: str
    text: str
    shown: list = field(default_factory=list)


@dataclass
class Example:
    """An addition to the project; each part is a (file, place, lines)."""

    title: str
    parts: list = field(default_factory=list)


def blocks(file):
    """(chapter, language, lines) of every fenced block."""
    chapter, language, lines = None, None, []
    for line in file.read_text().splitlines():
        if language is not None and line == "```":
            yield chapter, language, lines
            language = None
        elif language is not None:
            lines.append(line)
        elif line.startswith("```"):
            language, lines = line[3:], []
        elif line.startswith("## "):
            chapter = line[3:]


def commands():
    """Every Command of the README, in order."""
    found = []
    for chapter, language, lines in blocks(README):
        if language == "console":
            for line in lines:
                if line.startswith("$ "):
                    found.append(Command(chapter, line[2:]))
                else:
                    found[-1].shown.append(line)
    return found


def examples():
    """{title: Example} of the README and EXAMPLES.md, in order."""
    found = {}
    for file in (README, EXAMPLES):
        for _, language, lines in blocks(file):
            if language not in ("python", "yaml"):
                continue
            for line in lines:
                if part := _PART.fullmatch(line):
                    if part["title"]:
                        example = found.setdefault(part["title"].split(":")[0], Example(part["title"]))
                    example.parts.append((part["file"], part["place"], []))
                else:
                    example.parts[-1][2].append(line)
    return found


def apply(project, example):
    """Adds an Example to the project as a person would who reads where each part goes."""
    for file, place, lines in example.parts:
        path = project / file
        old = path.read_text().splitlines() if path.exists() else []
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(_placed(old, place, lines)) + "\n")


def _placed(old, place, lines):
    if place is None:
        return lines
    if place == "at the top":
        first = next(number for number, line in enumerate(old) if line.startswith(("import ", "from ")))
        return old[:first] + lines + old[first:]
    if place == "first in handler":
        function = next(number for number, line in enumerate(old) if line.startswith("def handler("))
        return _insert(old, next(n for n in range(function, len(old)) if old[n].endswith('"""')), lines, 0)
    how, name = re.fullmatch(r'(below|instead of) "(.+)"', place).groups()
    if how == "below":
        found = -1
        for key in re.findall(r"\w+:", name):
            found = next(number for number in range(found + 1, len(old)) if old[number].strip() == key)
        return _insert(old, found, lines, 2)
    replaced = next(number for number, line in enumerate(old) if line.strip().startswith(f'"{name}":'))
    return _insert(old, replaced, lines, 0)[:replaced] + _insert(old, replaced, lines, 0)[replaced + 1 :]


def _insert(old, number, lines, deeper):
    indent = " " * (len(old[number]) - len(old[number].lstrip()) + deeper)
    return old[: number + 1] + [indent + line for line in lines] + old[number + 1 :]
