"""Every command that a page shows could be run: its verb, its flags, its route and parameters exist.

What the commands print is recorded by ``docs/record.py`` and ``docs/walk_batch_api.py``; what they
do is checked by ``tests-e2e``. Here nothing runs: each block must be valid in its language, and each
command of ours must be one that its program, its Makefile or its service would take.
"""

import argparse
import importlib.util
import json
import re
import runpy
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
import yaml

from batch_layer.arguments import parse_arguments
from event_generator import parser as generator_parser
from local_stack.__main__ import parser as stack_parser
from serving_layer.front_door import commands as key_commands
from streamguard_cli.__main__ import build_parser

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^ *```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_SEPARATORS = {";", "|", "||", "&&", "&", "(", ")", ";;"}
_REDIRECTIONS = {">", ">>", "<", ">&", "&>", "<<<"}
_WITH_VALUE = {"-H", "-d", "-o", "-w", "-X", "-u", "--data", "--header", "--max-time", "--data-raw"}
_SERVICES = {
    "9101": "speed_layer",
    "8080": "batch_layer",
    "8081": "serving_layer",
    "8082": "serving_layer",
    "8002": "genai_assistant",
}
_PAGES_OF_PEOPLE = {"/", "/docs", "/openapi.json"}


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: str, text: str) -> Iterator[Block]:
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        yield Block(page, line, found[1], found[2])


def all_blocks() -> list[Block]:
    listed = subprocess.run(
        ["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    pages = listed.stdout.split()
    return [block for page in pages for block in blocks_of(page, (ROOT / page).read_text())]


BLOCKS = all_blocks()


def script(block: Block) -> str:
    """Return what one would type: of a console, the lines behind ``$``."""
    if block.language == "bash":
        return block.text
    typed = []
    goes_on = False
    for line in block.text.splitlines():
        stripped = line.strip()
        if goes_on or stripped.startswith("$ "):
            typed.append(stripped.removeprefix("$ "))
            goes_on = stripped.endswith(("\\", "|"))
    return "\n".join(typed) + "\n"


def commands(text: str) -> Iterator[list[str]]:
    """Yield simple commands as words, without what is in front of ours (``sudo``, ``X=1``)."""
    # A comment takes the end of its line along, which must still end the command before it.
    lines = text.replace("\\\n", " ").replace("\n", "\n\n")
    lexer = shlex.shlex(lines, posix=True, punctuation_chars=";|&()<>\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t", True, "#"
    words: list[str] = []
    is_target = False
    for token in [*lexer, ";"]:
        if token in _REDIRECTIONS:
            is_target = True
            if words and words[-1].isdigit():
                words.pop()
        elif is_target:
            is_target = False
        elif token.strip("\n") in _SEPARATORS or not token.strip():
            if plain := ours(words):
                yield plain
            words = []
        else:
            words.append(token)


def ours(words: list[str]) -> list[str]:
    words = list(words)
    while words and (re.match(r"\w+=", words[0]) or words[0] in ("sudo", "time", "{", "export")):
        words.pop(0)
    if "exec" not in words or words[0] not in ("docker", "docker-compose", "kubectl"):
        return words
    inside = words[words.index("exec") + 1 :]  # behind flags and the container's name
    while inside and "python" not in inside[0]:
        inside.pop(0)
    return inside


def faults(block: Block) -> list[str]:
    """Return what is wrong with a block's commands."""
    text = script(block)
    checked = subprocess.run(
        ["bash", "-n"], input=text, capture_output=True, text=True, check=False
    )
    if checked.returncode:
        return [checked.stderr.strip()]
    return [fault for words in commands(text) if (fault := fault_of(words))]


def fault_of(words: list[str]) -> str | None:
    program, rest = Path(words[0]).name, words[1:]
    if "..." in words:
        return None  # an example of the form, not a command
    if program == "make":
        return fault_of_make(rest)
    if program == "curl":
        return fault_of_curl(rest)
    if program == "streamguard":
        return refusal(lambda: build_parser().parse_args(rest), words)
    if program in ("python", "python3") and rest[:1] == ["-m"]:
        return fault_of_module(rest[1], rest[2:], words)
    return None


def fault_of_make(words: list[str]) -> str | None:
    verbs = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    unknown = [word for word in words if "=" not in word and word not in verbs]
    return f"make has no {unknown}" if unknown else None


def fault_of_module(module: str, rest: list[str], words: list[str]) -> str | None:
    if module == "local_stack" and rest[:1] == ["exec"]:
        return fault_of(rest[1:])
    keys = argparse.ArgumentParser()
    key_commands.add_parser(keys.add_subparsers())
    parsers = {
        "batch_layer": parse_arguments,
        "event_generator": generator_parser.build().parse_args,
        "local_stack": stack_parser().parse_args,
        "serving_layer": keys.parse_args,
    }
    if module in parsers:
        return refusal(lambda: parsers[module](rest), words)
    return None if importlib.util.find_spec(module) else f"no module {module}"


def refusal(parse, words: list[str]) -> str | None:
    try:
        parse()
    except SystemExit as end:
        return f"refused: {' '.join(words)}" if end.code else None
    return None


def fault_of_curl(words: list[str]) -> str | None:
    method, body, urls = None, None, []
    rest = iter(words)
    for word in rest:
        if word in _WITH_VALUE:
            value = next(rest)
            method = value if word == "-X" else method
            body = value if word in ("-d", "--data", "--data-raw") else body
        elif not word.startswith("-"):
            urls.append(word)
    if body is not None and "$" not in body and not body.startswith("@"):
        try:
            json.loads(body)
        except ValueError as error:
            return f"{body}: {error}"
    method = method or ("GET" if body is None else "POST")
    return next((fault for url in urls if (fault := fault_of_url(method, url))), None)


def fault_of_url(method: str, url: str) -> str | None:
    split = urlsplit(url if "://" in url else f"http://{url}")
    service = _SERVICES.get(split.netloc.rpartition(":")[2])
    if service is None or split.path in _PAGES_OF_PEOPLE:
        return None
    operation = operation_of(service, method, split.path)
    if operation is None:
        return f"{service} has no {method} {split.path}"
    known = {each["name"] for each in operation.get("parameters", ())}
    unknown = {name for name, _ in parse_qsl(split.query)} - known
    return f"{method} {split.path} has no parameter {sorted(unknown)}" if unknown else None


def operation_of(service: str, method: str, path: str) -> dict | None:
    for template, methods in documents()[service]["paths"].items():
        # A variable of the shell, or a name in capitals, stands for an id.
        pattern = re.sub(r"\\{[^}]*\\}", "[^?]+", re.escape(template))
        if re.fullmatch(pattern, path) and method.lower() in methods:
            return methods[method.lower()]
    return None


@cache
def documents() -> dict:
    applications = runpy.run_path(str(ROOT / "docs/generate_reference.py"))["applications"]
    return {name: app.openapi() for name, app in applications().items()}


@pytest.mark.parametrize(
    "block", [each for each in BLOCKS if each.language in ("bash", "console")], ids=str
)
def test_commands_could_be_run(block):
    assert faults(block) == []


@pytest.mark.parametrize(
    "block", [each for each in BLOCKS if each.language in ("python", "json", "yaml")], ids=str
)
def test_other_blocks_are_valid(block):
    if block.language == "python":
        compile(block.text, str(block), "exec")
    elif block.language == "yaml":
        assert list(yaml.safe_load_all(block.text))
    else:
        json.loads(block.text)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("make tets", "make has no ['tets']"),
        ("make up && make nothing", "make has no ['nothing']"),
        ("streamguard alerts --colour red", "refused: streamguard alerts --colour red"),
        ("python -m batch_layer security-run --max-event 10x", "refused"),
        ("X=1 python -m local_stack exec python -m batch_layer tabel", "refused"),
        ("curl -s localhost:8081/api/evnts", "serving_layer has no GET /api/evnts"),
        ("curl -s 'localhost:8081/api/events?limt=3'", "has no parameter ['limt']"),
        ("curl -s -X DELETE localhost:8080/tables", "batch_layer has no DELETE /tables"),
        ("curl -s localhost:8002/query -d '{\"question\": }'", "Expecting value"),
        ("if true; then", "syntax error"),
    ],
)
def test_a_wrong_command_is_found(text, fault):
    (found,) = faults(Block("page", 1, "bash", text + "\n"))

    assert fault in found


def test_a_right_command_is_none():
    text = (
        "curl -s localhost:8081/api/events/ID -H 'x: y' > out  # one event\n"
        "make up && X=2 .venv/bin/streamguard alerts --limit 5 | head -3\n"
    )

    assert faults(Block("page", 1, "bash", text)) == []
