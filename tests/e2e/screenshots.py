"""Takes the pictures of docs/images/console: every page of a simulated center, small enough for a repository."""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import expect

from tests.e2e.browsing import Visitor, chromium, visiting
from tests.e2e.center import OPERATORS, SIMULATED, TENANTS, Center, make_busy, make_people, running

FOLDER = Path(__file__).parents[2] / "docs" / "images" / "console"
BYTES_MAX = 60_000
PICTURES: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("sign-in", "", "/sign-in", {}),
    ("overview-operator", "system", "/", {}),
    ("overview-operator-zh", "system", "/", {"language": "zh-CN"}),
    ("overview-operator-dark", "system", "/", {"theme": "dark"}),
    ("overview-operator-phone", "system", "/", {"width": 390}),
    ("overview-tenant", "owner", "/", {}),
    ("jobs", "owner", "/jobs", {}),
    ("jobs-phone-dark-zh", "owner", "/jobs", {"width": 390, "theme": "dark", "language": "zh-CN"}),
    ("job", "owner", "/jobs/{pretrain}", {}),
    ("job-waiting", "owner", "/jobs/{huge}", {}),
    ("submit", "owner", "/submit", {}),
    ("submit-zh", "owner", "/submit", {"language": "zh-CN"}),
    ("billing", "owner", "/billing", {}),
    ("statement", "owner", "/billing/statement", {}),
    ("invoice", "owner", "/billing/invoices/{month}", {}),
    ("quote-ask", "owner", "/quotes/ask", {}),
    ("quote", "owner", "/quotes/{open_quote}", {}),
    ("quote-accepted-phone-zh", "owner", "/quotes/{quote}", {"width": 390, "language": "zh-CN"}),
    ("energy", "owner", "/energy", {}),
    ("calibration", "owner", "/calibration", {}),
    ("projects", "owner", "/projects", {}),
    ("members", "owner", "/members", {}),
    ("keys", "owner", "/keys", {}),
    ("secrets", "owner", "/secrets", {}),
    ("account", "owner", "/account", {}),
    ("notices", "owner", "/notices", {}),
    ("notice-preferences", "owner", "/notices/preferences", {}),
    ("webhooks", "owner", "/notices/webhooks", {}),
    ("nodes", "system", "/nodes", {}),
    ("node", "system", "/nodes/h100-0001", {}),
    ("node-dark-zh", "system", "/nodes/h100-0001", {"theme": "dark", "language": "zh-CN"}),
    ("engines", "system", "/engines", {}),
    ("engine", "system", "/engines/simulated", {}),
    ("engine-dark-zh", "system", "/engines/simulated", {"theme": "dark", "language": "zh-CN"}),
    ("accelerators", "system", "/accelerators", {}),
    ("quotas", "system", "/quotas", {}),
    ("prices", "system", "/prices", {}),
    ("incidents", "system", "/incidents", {}),
    ("orgs", "system", "/orgs", {}),
    ("org", "system", "/orgs/acme", {}),
    ("credit", "system", "/credit", {}),
    ("settings", "system", "/settings", {}),
    ("users", "security", "/users", {}),
    ("audit", "audit", "/audit", {}),
)
"""File name, who looks, at what, and how."""


def main(only: Sequence[str]) -> None:
    """All of them, or those that are named."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="pearl-pictures-") as folder,
        running(Path(folder) / "center", *SIMULATED) as center,
        chromium() as browser,
    ):
        make_people(center)
        make_busy(center)
        states: dict[str, Any] = {"": None}
        for name in (*OPERATORS, *TENANTS):
            with visiting(browser, center) as visitor:
                visitor.sign_in(name)
                states[name] = visitor.page.context.storage_state()
        for name, who, path, options in PICTURES:
            if only and name not in only:
                continue
            with visiting(browser, center, state=states[who], **options) as visitor:
                size = take(visitor, center, name, path)
            print(f"{name}: {size // 1000} KB")


def take(visitor: Visitor, center: Center, name: str, path: str) -> int:
    """One picture: at most two screens high, in few colours."""
    things = center.jobs | center.things
    assert visitor.goto(path.format(**things)) == 200, path
    page = visitor.page
    expect(page.locator("h1")).to_be_visible()
    if page.locator("pre[data-log]").count() and "waiting" not in name:
        expect(page.locator("pre[data-log]")).not_to_be_empty()
    high = page.evaluate("document.documentElement.scrollHeight")
    page.set_viewport_size({"width": page.viewport_size["width"], "height": min(max(high, 500), 1300)})
    shot = Image.open(io.BytesIO(page.screenshot(animations="disabled"))).convert("RGB")
    for colours in (128, 96, 64, 40, 24, 12):
        packed = io.BytesIO()
        shot.quantize(colours, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
            packed, "PNG", optimize=True
        )
        if packed.tell() <= BYTES_MAX:
            break
    (FOLDER / f"{name}.png").write_bytes(packed.getvalue())
    return packed.tell()


if __name__ == "__main__":
    main(sys.argv[1:])
