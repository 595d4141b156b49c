"""A visit to the page of a service, and what a hand does there that a driver has no word for."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tests.serving.flat import Service

if TYPE_CHECKING:
    from playwright.sync_api import Page

NOTED = re.compile(r"Failed to load resource: .*(?:status of (\d+)|net::ERR_\w+)")
# All that a file's line has said, in order: states may be shorter than a look from outside.
LISTEN = """
window.said = [];
addEventListener("DOMContentLoaded", () => new MutationObserver(() => {
  for (const told of document.querySelectorAll(".told"))
    if (told.textContent && told.textContent !== told.last) said.push(told.last = told.textContent);
}).observe(document.body, {subtree: true, childList: true, characterData: true}));
"""
FILES = """files => {
  const carried = new DataTransfer();
  for (const [name, text] of files)
    carried.items.add(new File([Uint8Array.from(atob(text), c => c.charCodeAt(0))], name));
  return carried;
}"""


class Visit:
    """An open page; what it complains of and asks for is kept for the end."""

    def __init__(self, page: Page, service: Service, refusals: Sequence[int]) -> None:
        self.page, self._service, self._refusals = page, service, refusals
        self._complaints: list[str] = []
        self._requested: list[str] = []
        page.on("console", lambda message: self._complaints.append(message.text))
        page.on("pageerror", lambda error: self._complaints.append(str(error)))
        page.on("request", lambda request: self._requested.append(request.url))
        # From the beginning: a chooser that opens before it is caught stays open, unseen.
        page.on("filechooser", lambda chooser: None)
        page.add_init_script(LISTEN)
        page.goto(service.url)

    def end(self) -> None:
        """Close the page; it fitted, asked nobody else, and complained of nothing unexpected."""
        wide = self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        self.page.close()
        assert wide <= 0
        assert [u for u in self._requested if not u.startswith((self._service.url, "blob:"))] == []
        noted = [(NOTED.match(text), text) for text in self._complaints]
        assert [text for match, text in noted if match is None] == []
        assert {int(match[1] or 0) for match, _ in noted} == set(self._refusals)


def drop(page: Page, *files: tuple[str, bytes]) -> None:
    """Drag files (name, content) onto the page and let them go, as a hand would."""
    carried = page.evaluate_handle(
        FILES, [[name, b64encode(data).decode()] for name, data in files]
    )
    for event in ("dragenter", "dragover", "drop"):
        page.dispatch_event("#drop", event, {"dataTransfer": carried})
        assert ("over" in page.get_attribute("#drop", "class").split()) == (event != "drop")
