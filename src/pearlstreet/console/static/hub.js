// Files for a repository: each is sent at once with its progress and kept by the center; the commit names all of them.
"use strict";

(() => {
  const form = document.getElementById("hub-upload");
  if (!form) return;
  const words = form.dataset, list = form.querySelector("[data-list]"), state = form.querySelector("[data-state]");
  const drop = form.querySelector("[data-drop]"), staged = form.elements.staged, button = form.querySelector("[value=commit]");
  const files = new Map(), TRIES = 3;
  let sending = false;

  function row(path, file) {
    const line = document.createElement("li"), name = document.createElement("span"), bar = document.createElement("progress"), said = document.createElement("span");
    name.textContent = path; bar.max = 1; bar.value = 0; bar.setAttribute("aria-label", path); said.className = "quiet"; said.textContent = words.waiting;
    line.append(name, bar, said); list.append(line);
    return { file, bar, said, facts: null, failed: false };
  }

  function add(path, file) {
    const known = files.get(path);
    // What arrived before is not sent again: choosing the same files after a failure goes on where it ended.
    if (known && known.facts && known.file.size === file.size && known.file.lastModified === file.lastModified) return;
    const one = known || row(path, file);
    one.file = file; one.facts = null; one.failed = false;
    if (file.size > Number(words.max)) { one.failed = true; one.said.textContent = words.tooLarge; one.said.className = "bad"; }
    files.set(path, one);
  }

  function post(path, one) {
    const data = new FormData();
    for (const name of ["token", "page_org"]) data.set(name, form.elements[name].value);
    data.set("do", "stage"); data.set("path", path); data.set("upload", one.file, one.file.name);
    return new Promise((done, failed) => {
      const request = new XMLHttpRequest();
      request.open("POST", form.getAttribute("action"));
      request.responseType = "json";
      request.upload.onprogress = (event) => { one.bar.value = event.loaded / event.total; };
      request.onload = () => (request.status === 200 && request.response ? done(request.response) : failed(request.status));
      request.onerror = () => failed(0);
      request.send(data);
    });
  }

  async function send(path, one) {
    for (let attempt = 1; ; attempt++) {
      try {
        const answer = await post(path, one);
        if (answer.problem) { one.failed = true; one.said.textContent = answer.problem; one.said.className = "bad"; return; }
        one.facts = answer; one.bar.value = 1; one.said.textContent = words.kept; one.said.className = "good";
        return;
      } catch (status) {
        if (attempt === TRIES) { one.failed = true; one.said.textContent = words.again; one.said.className = "bad"; return; }
        await new Promise((wait) => setTimeout(wait, 800 * attempt));
      }
    }
  }

  async function sendAll() {
    if (sending) return;
    sending = true; button.disabled = true;
    for (;;) {
      const next = [...files].find(([, one]) => !one.facts && !one.failed);
      if (!next) break;
      await send(...next);
      tell();
    }
    sending = false; button.disabled = false;
    tell();
  }

  function tell() {
    const kept = [...files.values()].filter((one) => one.facts);
    state.textContent = words.count.replace("{done}", kept.length).replace("{count}", files.size);
    staged.value = JSON.stringify(kept.map((one) => one.facts));
  }

  function within(path) {
    const folder = form.elements.folder.value.trim().replace(/^\/+|\/+$/g, "");
    return folder ? `${folder}/${path}` : path;
  }

  function choose(input) {
    for (const file of input.files) add(within(file.webkitRelativePath ? file.webkitRelativePath.split("/").slice(1).join("/") : file.name), file);
    input.value = "";
    sendAll();
  }

  async function walk(entry, prefix) {
    if (entry.isFile) { add(within(prefix + entry.name), await new Promise((done, failed) => entry.file(done, failed))); return; }
    const reader = entry.createReader();
    for (;;) {
      const some = await new Promise((done, failed) => reader.readEntries(done, failed));
      if (!some.length) return;
      for (const one of some) await walk(one, `${prefix}${entry.name}/`);
    }
  }

  form.addEventListener("change", (event) => { if (event.target.type === "file") choose(event.target); });
  drop.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", async (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    // One dropped folder is the root of what is sent, as when it is chosen.
    for (const entry of entries) {
      if (entries.length === 1 && entry.isDirectory) {
        const reader = entry.createReader();
        for (;;) {
          const some = await new Promise((done, failed) => reader.readEntries(done, failed));
          if (!some.length) break;
          for (const one of some) await walk(one, "");
        }
      } else await walk(entry, "");
    }
    sendAll();
  });
})();
