"""The page that asks a person in a browser for a key, and the cookie that keeps it there.

A browser's own dialog for a name and a password cannot say what is wrong with a key. The cookie is
out of reach of scripts, is not sent with requests that pages of other origins make, and ends with
the browser's session.
"""

from html import escape
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Scope

from serving_layer.front_door.credentials import COOKIE

if TYPE_CHECKING:
    from serving_layer.services import Services

PATH = "/sign-in"

router = APIRouter(include_in_schema=False)

_UNKNOWN = "This key is unknown, expired or revoked."
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sign in - StreamGuard</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 26rem; margin: 12vh auto; padding: 0 1rem; }}
input, button {{ font: inherit; padding: .5rem .75rem; width: 100%; box-sizing: border-box; margin: .25rem 0; }}
[role=alert] {{ border-left: 4px solid #c62828; padding: .25rem .75rem; }}
</style>
</head>
<body>
<main>
<h1>StreamGuard</h1>
<p>This server asks for a key. Whoever runs it makes one: <code>python -m serving_layer keys create NAME</code></p>
{said}
<form method="post" action="{path}">
<input type="hidden" name="next" value="{following}">
<label for="key">Key</label>
<input id="key" name="key" type="password" autocomplete="current-password" autofocus required>
<button>Sign in</button>
</form>
{out}
</main>
</body>
</html>
"""
_SIGN_OUT = '<form method="post" action="/sign-out"><button>Sign out</button></form>'


def is_page(scope: Scope) -> bool:
    """Return whether a person's browser asks for a page, which can show the form instead."""
    return (
        scope["type"] == "http"
        and scope["method"] == "GET"
        and not scope["path"].startswith("/api/")
        and "text/html" in Headers(scope=scope).get("accept", "")
    )


def form(scope: Scope, *, is_wrong: bool) -> Response:
    """Return the form in place of the page that was asked for; a wrong key is forgotten."""
    query = scope["query_string"].decode("latin-1")
    response = _form(
        scope["path"] + (f"?{query}" if query else ""),
        said=_UNKNOWN if is_wrong else "",
        status=HTTPStatus.UNAUTHORIZED,
    )
    if is_wrong:
        response.delete_cookie(COOKIE)
    return response


@router.get(PATH)
async def ask(request: Request) -> Response:
    """Ask for a key, or for another one."""
    return _form("/", can_leave=COOKIE in request.cookies)


@router.post(PATH)
async def sign_in(request: Request) -> Response:
    """Keep a key that holds, and go on to the page that was asked for."""
    given = parse_qs((await request.body()).decode("utf-8", "replace"))
    key = given.get("key", [""])[0].strip()
    following = _local(given.get("next", ["/"])[0])
    services: Services = request.app.state.services
    if services.keys.of(key) is None:
        return _form(following, said=_UNKNOWN, status=HTTPStatus.UNAUTHORIZED)
    response = RedirectResponse(following, HTTPStatus.SEE_OTHER)
    response.set_cookie(
        COOKIE, key, httponly=True, samesite="lax", secure=request.url.scheme == "https"
    )
    return response


@router.post("/sign-out")
async def sign_out() -> Response:
    """Forget the key."""
    response = RedirectResponse(PATH, HTTPStatus.SEE_OTHER)
    response.delete_cookie(COOKIE)
    return response


def _local(path: str) -> str:
    """Return a path of this server; anything else would send people elsewhere."""
    is_local = path.startswith("/") and not path.startswith(("//", "/\\", PATH))
    return path if is_local and path.isprintable() else "/"


def _form(
    following: str, *, said: str = "", status: int = HTTPStatus.OK, can_leave: bool = False
) -> Response:
    body = _PAGE.format(
        said=f'<p role="alert">{escape(said)}</p>' if said else "",
        path=PATH,
        following=escape(_local(following)),
        out=_SIGN_OUT if can_leave else "",
    )
    # With no referrer at all a browser calls the form's origin null, which the guard refuses.
    headers = {"Referrer-Policy": "same-origin", "Cache-Control": "no-store"}
    return HTMLResponse(body, status, headers)
