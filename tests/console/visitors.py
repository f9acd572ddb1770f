"""Visitors of the console in this process: a cookie jar each, forms filled as a browser would, pages as text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any

import httpx

from pearlstreet.app.web import create_web
from pearlstreet.tenancy import sessions
from tests.api.world import Browser, World, a_world

PASSWORD = "correct horse battery staple"


@dataclass
class Visitor:
    """One browser without scripts. Cookies are kept by hand, so that a test sees each of them."""

    app: Browser
    cookies: dict[str, str] = field(default_factory=dict)
    base: str = "http://center"
    """Where it goes; https:// when TLS was on the way."""

    def send(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, **options: Any
    ) -> httpx.Response:
        """One request; what it sets is kept."""
        told = {"cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        told |= headers or {}
        found = {name: value.encode("latin-1") for name, value in told.items()}
        self.app.cookies.clear()
        answer = self.app.send(method, self.base + path, headers=found, follow_redirects=False, **options)
        for line in answer.headers.get_list("set-cookie"):
            name, _, rest = line.partition("=")
            value = rest.split(";")[0].strip('"')
            if "max-age=0" in rest.lower():
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
        return answer

    def get(self, path: str, **headers: str) -> httpx.Response:
        """A page. Underscores of header names stand for dashes."""
        return self.send("GET", path, {name.replace("_", "-"): value for name, value in headers.items()})

    def post(
        self,
        path: str,
        do: str,
        form: Mapping[str, str | Sequence[str]] | None = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """A form, with the token of this session unless another is given."""
        whole: dict[str, Any] = {"do": do, "token": self.token() if token is None else token, **(form or {})}
        return self.send("POST", path, headers, data=whole)

    def token(self) -> str:
        """What a page of this session puts into its forms."""
        found = re.search(r'name="token" value="([0-9a-f]*)"', self.get("/nowhere").text)
        return found[1] if found else ""


@dataclass
class Console:
    """A center with its console, and the API's world around it."""

    world: World
    app: Browser

    def visitor(self, role: str | None = None, *, language: str = "en") -> Visitor:
        """Somebody signed in as `role` (a login name), or nobody."""
        found = Visitor(self.app, {"pearl_language": language})
        if role is not None:
            found.cookies["pearl_session"] = self.credential(role)
        return found

    def credential(self, role: str) -> str:
        """A fresh session of somebody."""
        return sessions.sign_in(self.world.center.store, role, PASSWORD, peer="test").credential

    def set_password(self, name: str) -> None:
        """Everybody gets the same."""
        made = self.world.post(f"/users/{name}/password-link", "security")
        body = {"token": made.json()["token"], "password": PASSWORD}
        assert self.world.post("/set-password", None, json=body).status_code in (200, 204)


@contextmanager
def a_console(data: Path, **settings: Any) -> Iterator[Console]:
    """A center whose people have passwords."""
    with a_world(data, **settings) as world:
        app = Browser(create_web(world.center, world.services))
        found = Console(world, app)
        for name in ("owner", "viewer", "stranger", "system", "security", "audit"):
            found.set_password(name)
        try:
            yield found
        finally:
            app.close()


def words(answer: httpx.Response) -> str:
    """What a page says, without its tags."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", answer.text)))
