// The form for a job: checks while one types, sends files at once with their progress. Without it the buttons do both.
"use strict";

(() => {
  const form = document.getElementById("job");
  if (!form) return;
  const verdict = document.getElementById("verdict"), state = document.getElementById("upload-state");
  const WAIT_MS = 500;
  let timer = 0, asked = 0, touched = new Set();

  function post(action, extra, onProgress) {
    const data = new FormData(form);
    for (const name of ["do", "upload", "once"]) data.delete(name);
    data.set("do", action);
    data.set("live", "1");
    for (const [name, value, ...rest] of extra) data.append(name, value, ...rest);
    return new Promise((done, failed) => {
      const request = new XMLHttpRequest();
      request.open("POST", form.getAttribute("action"));
      request.responseType = "json";
      if (onProgress) request.upload.onprogress = (event) => onProgress(event.loaded / event.total);
      request.onload = () => (request.status === 200 && request.response ? done(request.response) : failed(request.status));
      request.onerror = () => failed(0);
      request.send(data);
    });
  }

  function show(answer) {
    const complained = answer.fields;
    for (const place of form.querySelectorAll("[data-problem]")) {
      const name = place.dataset.problem, words = complained[name] || [];
      const seen = touched.has(name) || touched.has("*");
      place.textContent = seen && words.length ? words.join(" ") + " " : "";
      place.closest("[data-field]")?.classList.toggle("wrong", seen && words.length > 0);
      const input = document.getElementById("f-" + name);
      if (input && input.matches("input,textarea,select")) input.setAttribute("aria-invalid", String(seen && words.length > 0));
    }
    verdict.replaceChildren();
    const head = document.createElement("p");
    const wrong = [...answer.other];
    for (const [name, words] of Object.entries(complained)) {
      const label = form.querySelector(`label[for="${CSS.escape("f-" + name)}"], #${CSS.escape("f-" + name)} > legend`);
      wrong.push(`${label ? label.textContent.replace("*", "").trim() : name}: ${words.join(" ")}`);
    }
    head.className = wrong.length ? "quiet" : "good";
    head.textContent = wrong.length ? verdict.dataset.bad : verdict.dataset.good;
    verdict.append(head);
    const list = document.createElement(wrong.length ? "ul" : "dl");
    if (!wrong.length) list.className = "facts one";
    for (const words of wrong) { const line = document.createElement("li"); line.textContent = words; list.append(line); }
    for (const [name, value, tone] of wrong.length ? [] : answer.facts) {
      const row = document.createElement("div"), key = document.createElement("dt"), said = document.createElement("dd");
      key.textContent = name; said.textContent = value; said.className = tone;
      row.append(key, said); list.append(row);
    }
    verdict.append(list);
  }

  async function check() {
    const mine = ++asked;
    try { const answer = await post("check", []); if (mine === asked) show(answer); } catch { /* the check button says why */ }
  }

  function soon() { clearTimeout(timer); timer = setTimeout(check, WAIT_MS); }

  async function send(input) {
    const file = input.files[0];
    if (!file) return;
    if (file.size > Number(form.dataset.max)) { state.textContent = form.dataset.tooLarge.replace("{name}", file.name); input.value = ""; return; }
    const tell = (part) => { state.textContent = form.dataset.uploading.replace("{name}", file.name).replace("{percent}", Math.floor(100 * part)); };
    tell(0);
    try {
      const answer = await post("upload", [["upload", file, file.name]], tell);
      if (answer.problem) { state.textContent = answer.problem; return; }
      const files = form.elements.files;
      files.value = [files.value.trim(), ...answer.lines].filter(Boolean).join("\n");
      files.closest("details").open = true;
      state.textContent = answer.lines.join(", ");
      input.value = "";
      soon();
    } catch { state.textContent = document.body.dataset.offline; }
  }

  form.addEventListener("input", (event) => { if (event.target.name) { touched.add(event.target.name); if (event.target.type !== "file") soon(); } });
  form.addEventListener("change", (event) => { if (event.target.matches("[data-upload]")) send(event.target); });
  form.querySelectorAll(".without-script").forEach((one) => { one.hidden = true; });
  if (form.querySelector("[data-problem]:not(:empty)")) touched.add("*");
  if ((form.elements.command || form.elements.yaml).value.trim()) check();
})();
