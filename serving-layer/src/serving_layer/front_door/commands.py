"""``python -m serving_layer keys create|list|rotate|revoke``."""

import argparse
import json
import sys
import time
from datetime import UTC, datetime

from serving_layer.errors import NotFoundError
from serving_layer.front_door.keys import Key, KeyStore
from serving_layer.front_door.scopes import SCOPES
from serving_layer.settings import Settings

_DAY_MS = 86_400_000
_HOUR_MS = 3_600_000


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the verbs and their flags."""
    parser = commands.add_parser("keys", help="API keys: create, list, rotate, revoke")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    create = verbs.add_parser("create", help="make a key and print it, once")
    create.add_argument("name", help="who uses it")
    create.add_argument("--scope", choices=SCOPES, default="read", help="default: read")
    create.add_argument("--days", type=_positive, help="days until it expires (default: never)")
    listed = verbs.add_parser("list", help="every key, without its secret")
    listed.add_argument("--json", action="store_true", help="one JSON object a line")
    rotate = verbs.add_parser("rotate", help="make a new key in place of one, and print it")
    rotate.add_argument("id")
    rotate.add_argument(
        "--overlap-hours", type=_not_negative, default=24, help="how long the old one still holds"
    )
    revoke = verbs.add_parser("revoke", help="end a key; a server notices within a second")
    revoke.add_argument("id")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Do what was asked and return the exit status."""
    store = KeyStore(Settings().data_dir)
    try:
        if options.verb == "create":
            expires = None if options.days is None else _now() + options.days * _DAY_MS
            _told(*store.create(options.name, options.scope, expires))
        elif options.verb == "rotate":
            _told(*store.rotate(options.id, options.overlap_hours * _HOUR_MS))
        elif options.verb == "revoke":
            store.revoke(options.id)
            sys.stderr.write(f"revoked {options.id}\n")
        else:
            for key in store.all():
                sys.stdout.write(_line(key, as_json=options.json) + "\n")
    except NotFoundError as error:
        sys.stderr.write(f"serving-layer: {error.detail}\n")
        return 1
    finally:
        store.close()
    return 0


def _told(key: Key, text: str) -> None:
    """Print a new key alone, so that a script can take it; what to know of it goes beside."""
    sys.stderr.write(f"key {key.id} of {key.name}, scope {key.scope}; it is not shown again\n")
    sys.stdout.write(text + "\n")


def _line(key: Key, *, as_json: bool) -> str:
    state = key.ended(_now()) or "holds"
    if as_json:
        names = ("id", "name", "scope", "created_at", "expires_at", "revoked_at")
        return json.dumps({name: getattr(key, name) for name in names} | {"state": state})
    expires = "never expires" if key.expires_at is None else f"expires {_clock(key.expires_at)}"
    return f"{key.id}  {key.scope:<8} {state:<8} {_clock(key.created_at)}  {expires}  {key.name}"


def _clock(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def _now() -> int:
    return int(time.time() * 1000)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _not_negative(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return number
