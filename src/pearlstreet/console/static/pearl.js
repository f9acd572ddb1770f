// The console's own script. Pages work without it; with it they stay current, ask before what cannot be undone, follow
// logs, and can be used from the keyboard. No inline script, no eval: the page's policy forbids both.
"use strict";

const words = document.body.dataset;
const $$ = (selector, root = document) => Array.from(root.querySelectorAll(selector));

// -- live parts: <section id="x" data-live> is asked for again when something has changed

const FALLBACK_MS = 15000, APART_MS = 700;
let asking = false, again = false, lastAsked = 0;

async function refreshPart(part) {
  const headers = { "x-part": part.id };
  if (part.dataset.etag) headers["if-none-match"] = part.dataset.etag;
  const answer = await fetch(location.href, { headers, credentials: "same-origin", redirect: "manual" });
  if (answer.type === "opaqueredirect" || answer.status === 401) { location.reload(); return; }
  if (answer.status === 304 || !answer.ok) return;
  const html = await answer.text();
  part.dataset.etag = answer.headers.get("etag") || "";
  if (part.contains(document.activeElement) && document.activeElement.matches("input[type=text],textarea")) return;
  const ticked = new Set($$("input[type=checkbox]:checked", part).map((box) => box.value));
  const open = new Set($$("details[open][id]", part).map((box) => box.id));
  const held = part.contains(document.activeElement) ? pathTo(document.activeElement) : null;
  part.innerHTML = html;
  $$("input[type=checkbox]", part).forEach((box) => { if (ticked.has(box.value)) box.checked = true; });
  open.forEach((id) => { const box = document.getElementById(id); if (box) box.open = true; });
  if (held) { const again = part.querySelector(held); if (again) again.focus({ preventScroll: true }); }
  dress(part);
}

function pathTo(element) {
  if (element.id) return "#" + CSS.escape(element.id);
  if (element.getAttribute("href")) return `a[href="${CSS.escape(element.getAttribute("href"))}"]`;
  return element.name && element.value ? `[name="${CSS.escape(element.name)}"][value="${CSS.escape(element.value)}"]` : null;
}

async function refresh() {
  const parts = $$("[data-live]");
  if (!parts.length || document.hidden) { again = document.hidden; return; }
  if (asking) { again = true; return; }
  asking = true;
  const wait = lastAsked + APART_MS - Date.now();
  if (wait > 0) await new Promise((done) => setTimeout(done, wait));
  lastAsked = Date.now();
  try {
    for (const part of parts) await refreshPart(part);
    offline(false);
  } catch { offline(true); }
  asking = false;
  if (again) { again = false; refresh(); }
}

function offline(is) {
  const box = document.getElementById("offline");
  if (box) { box.hidden = !is; box.textContent = is ? words.offline : ""; }
}

function stayCurrent() {
  if (!document.querySelector("[data-live]")) return;
  const stream = new EventSource("/live");
  stream.addEventListener("changed", refresh);
  stream.addEventListener("hello", () => offline(false));
  stream.onerror = () => { if (stream.readyState !== EventSource.OPEN) offline(true); };
  setInterval(refresh, FALLBACK_MS);
  document.addEventListener("visibilitychange", () => { if (!document.hidden && again) { again = false; refresh(); } });
  addEventListener("pagehide", () => stream.close());
}

// -- logs: <pre data-log="/jobs/x/log"> reads on until the end

async function followLog(box) {
  let at = Number(box.dataset.offset || 0), quietMs = 700;
  const pause = (ms) => new Promise((done) => setTimeout(done, ms));
  const decoder = new TextDecoder();
  for (;;) {
    try {
      const answer = await fetch(`${box.dataset.log}${box.dataset.log.includes("?") ? "&" : "?"}offset=${at}`, { credentials: "same-origin" });
      if (!answer.ok) { await pause(3000); continue; }
      const data = new Uint8Array(await answer.arrayBuffer());
      at = Number(answer.headers.get("x-next-offset"));
      const ended = answer.headers.get("x-ended") === "true";
      if (data.length) {
        quietMs = 700;
        const low = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
        box.append(decoder.decode(data, { stream: true }));
        if (box.textContent.length > 2_000_000) box.textContent = box.textContent.slice(-1_500_000);
        if (low) box.scrollTop = box.scrollHeight;
      } else if (ended) { box.dataset.done = "true"; return; }
      if (!data.length) { await pause(quietMs); quietMs = Math.min(quietMs * 1.3, 4000); }
    } catch { await pause(3000); }
  }
}

// -- what cannot be undone asks first

function confirmFirst(form, submitter, question) {
  const dialog = document.createElement("dialog");
  const text = document.createElement("p"), row = document.createElement("div");
  const no = document.createElement("button"), yes = document.createElement("button");
  text.textContent = question; no.textContent = words.cancel; yes.textContent = words.yes;
  row.className = "doings"; yes.className = "danger"; yes.dataset.confirmYes = "";
  row.append(no, yes); dialog.append(text, row); document.body.append(dialog);
  no.onclick = () => dialog.close();
  yes.onclick = () => { form.dataset.sure = "yes"; dialog.close(); form.requestSubmit(submitter); };
  dialog.onclose = () => dialog.remove();
  dialog.showModal(); no.focus();
}

document.addEventListener("submit", (event) => {
  const form = event.target, asking = (event.submitter?.dataset.confirm ? event.submitter : form).dataset;
  if (asking.confirm && form.dataset.sure !== "yes") {
    event.preventDefault();
    const count = $$("input[type=checkbox][name]:checked", form).length;
    const question = count === 1 && asking.confirmOne || asking.confirm;
    confirmFirst(form, event.submitter, question.replace("{count}", count));
    return;
  }
  delete form.dataset.sure;
  if (form.method === "post") setTimeout(() => $$("button", form).forEach((one) => { one.disabled = true; }));
  setTimeout(() => $$("button", form).forEach((one) => { one.disabled = false; }), 8000);
});

// -- small comforts

document.addEventListener("click", async (event) => {
  const copy = event.target.closest("[data-copy]");
  if (copy) {
    await navigator.clipboard?.writeText(copy.dataset.copy);
    copy.title = words.copied;
    copy.classList.add("good");
  }
  const all = event.target.closest("[data-all]");
  if (all) $$(`input[name="${all.dataset.all}"]`).forEach((box) => { box.checked = all.checked; });
  if (!event.target.closest(".menu")) $$(".menu[open]").forEach((menu) => { menu.open = false; });
});

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-autosubmit]")) event.target.form.requestSubmit();
});

let leader = false;
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") $$(".menu[open]").forEach((menu) => { menu.open = false; });
  if (event.target.closest("input,textarea,select,dialog") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (leader) {
    leader = false;
    const link = document.querySelector(`.nav a[data-key="${CSS.escape(event.key)}"]`);
    if (link) { event.preventDefault(); link.click(); }
    return;
  }
  if (event.key === "g") { leader = true; setTimeout(() => { leader = false; }, 1500); }
  if (event.key === "/") { const box = document.querySelector("[data-search]"); if (box) { event.preventDefault(); box.focus(); box.select(); } }
  if (event.key === "?") document.getElementById("keys")?.showModal();
});

function dress(root) {
  const language = document.documentElement.lang;
  const near = new Intl.DateTimeFormat(language, { month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
  const far = new Intl.DateTimeFormat(language, { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", hour12: false });
  $$("time[datetime]", root).forEach((one) => {
    const at = new Date(one.dateTime);
    one.title = one.dateTime;
    one.textContent = (Math.abs(Date.now() - at) < 15e9 ? near : far).format(at);
  });
  $$("svg [data-at]", root).forEach((one) => {
    const at = new Date(Number(one.dataset.at) * 1000);
    if (one.textContent.includes(":")) one.textContent = new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit", hour12: false, ...(one.textContent.length > 5 && { second: "2-digit" }) }).format(at);
  });
}

if (matchMedia("(max-width: 60rem)").matches) $$("details.nav").forEach((nav) => { nav.open = false; });
dress(document);
$$("[data-focus]").forEach((one) => one.focus());
$$("pre[data-log]").forEach(followLog);
stayCurrent();
