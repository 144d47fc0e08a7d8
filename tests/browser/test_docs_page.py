"""Swagger UI, as people use it: the page at /docs uploads a file, downloads it, and changes it."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import Browser
from tests.support.stacks import Stack

# What a person does in an operation of the page: opens it, presses "Try it out", fills fields in, presses "Execute".
_USE = """async ([id, fields, file]) => {
  const until = async (find) => {
    for (let tries = 0; tries < 200; tries++) {
      const found = find();
      if (found) return found;
      await new Promise((done) => setTimeout(done, 50));
    }
    throw new Error(`never there: ${find}`);
  };
  const type = (input, value) => {
    Object.getOwnPropertyDescriptor(Object.getPrototypeOf(input), "value").set.call(input, value);
    input.dispatchEvent(new Event(input.tagName === "SELECT" ? "change" : "input", { bubbles: true }));
  };
  const block = await until(() => document.querySelector(`[id$="-${id}"]`));
  if (!block.classList.contains("is-open")) block.querySelector(".opblock-summary-control").click();
  (await until(() => block.querySelector(".try-out__btn"))).click();
  await until(() => block.querySelector(".execute"));
  for (const [name, value] of Object.entries(fields)) {
    const places = ["param", "property"].map((kind) => `[data-${kind}-name="${name}"] input`).join();
    type(await until(() => block.querySelector(places)), value);
  }
  if (file !== null) {
    const input = await until(() => block.querySelector("input[type=file]"));
    const chosen = new DataTransfer();
    chosen.items.add(new File([file], "hello.txt", { type: "text/plain" }));
    input.files = chosen.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  }
  await new Promise((done) => setTimeout(done, 600)); // the page takes what was typed when no more is
  block.querySelector(".execute").click();
  const answer = await until(() => block.querySelector(".live-responses-table .response"));
  const sent = block.querySelector(".curl-command")?.textContent ?? "";
  return { status: answer.querySelector(".response-col_status").textContent.trim(), text: answer.textContent, sent };
}"""


def _use(browser: Browser, operation: str, fields: dict[str, str] | None = None, file: str | None = None) -> Any:
    return browser.evaluate(_USE, [operation, fields or {}, file])


@pytest.fixture
def page(browser: Browser, stack: Stack) -> Browser:
    browser("open", url=f"{stack.api_url}/docs")
    return browser


def test_a_file_is_uploaded_downloaded_and_changed(page: Browser, stack: Stack, tmp_path: Path) -> None:
    uploaded = _use(page, "upload_files", {"session_id": "docs"}, "hello from the page")
    assert uploaded["status"] == "201", uploaded
    assert "tags" not in uploaded["sent"]
    [file] = stack.get("/api/sessions/docs/files")["items"]
    assert (file["name"], file["media_type"], file["tags"]) == ("hello.txt", "text/plain", [])

    downloaded = _use(page, "download_file", {"file_id": file["id"]})
    assert downloaded["status"] == "200", downloaded
    assert "hello from the page" in downloaded["text"]

    changed = _use(page, "patch_file", {"file_id": file["id"]})
    assert changed["status"] == "200", changed
    after = stack.get(f"/api/files/{file['id']}")
    assert (after["session_id"], after["name"], after["tags"]) == ("docs", "hello.txt", ["holiday", "2026"])
    page("screenshot", path=str(tmp_path / "docs.png"))


def test_the_page_may_show_a_picture_that_it_has_downloaded(page: Browser) -> None:
    """Swagger UI shows one from a blob: URL, which the page's own policy must let it."""
    shown = page.evaluate(
        """() => new Promise((done) => {
          const canvas = document.createElement("canvas");
          canvas.toBlob((blob) => {
            const picture = document.createElement("img");
            picture.onload = () => done("shown");
            picture.onerror = () => done("blocked");
            picture.src = URL.createObjectURL(blob);
          });
        })"""
    )
    assert shown == "shown"
