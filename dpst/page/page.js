"use strict";
// The page asks the program for everything, and shows what it answers. Nothing is decided here but what is drawn and shown.

const $ = (id) => document.getElementById(id);
const each = (selector, act) => document.querySelectorAll(selector).forEach(act);
const chosen = (name) => document.querySelector(`input[name=${name}]:checked`).value;
let session = "";
let mostBytes = Infinity;
let busy = false;

// Asking

async function ask(method, what, body) {
  showError("");
  if (body?.size > mostBytes) {
    showError(`The file is too large; choose one of ${mostBytes / 2 ** 20} MiB at most.`);
    return null;
  }
  let answer, value;
  try {
    answer = await fetch(`/${session}/${what}`, { method, body });
    value = await answer.json();
  } catch {
    return lost();
  }
  if (answer.ok) return value;
  showError(value.error);
  return null;
}

const request = (what, values = {}) => ask("POST", what, JSON.stringify(values));

function showError(text) {
  $("error").textContent = text;
  $("error-row").hidden = !text;
  showStatus();
}

function showStatus() {
  $("status").hidden = $("error-row").hidden && !busy;
}

$("close-error").addEventListener("click", () => showError(""));

function lost() {
  stream.close();
  setBusy(true);
  $("busy").hidden = true;
  showError(session ? "The program has ended, or the connection to it was lost. Start it, and load this page again."
    : "Too many pages are open, or the program has ended. Close another page, and load this one again.");
  return null;
}

function setBusy(now, words = "") {
  busy = now;
  $("busy").hidden = !now;
  $("words").textContent = words;
  document.querySelector("#busy progress").removeAttribute("value");
  each("main button, main input[type=file], input[name=regions], #count", (element) => { element.disabled = now; });
  if (now) $("news").hidden = true;
  showStatus();
}

// Photos and strokes

class Photo {
  constructor(of) {
    this.of = of;
    this.figure = document.querySelector(`.photo[data-of=${of}]`);
    this.image = this.figure.querySelector("img");
    this.canvas = this.figure.querySelector("canvas");
    this.context = this.canvas.getContext("2d");
    this.strokes = [];
    this.ready = false;
    const input = $(`${of}-photo`);
    input.addEventListener("change", () => { if (input.files[0]) this.take(input.files[0]); input.value = ""; });
    this.figure.querySelector(".change").addEventListener("click", () => input.click());
    this.figure.addEventListener("dragover", (event) => { event.preventDefault(); this.figure.classList.add("over"); });
    this.figure.addEventListener("dragleave", () => this.figure.classList.remove("over"));
    this.figure.addEventListener("drop", (event) => {
      event.preventDefault();
      this.figure.classList.remove("over");
      if (!busy && event.dataTransfer.files[0]) this.take(event.dataTransfer.files[0]);
    });
    this.canvas.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      this.canvas.setPointerCapture(event.pointerId);
      const size = Number($("width").value);
      this.strokes.push({ colour: chosen("brush"), size, points: [this.at(event)] });
      this.draw(this.strokes.at(-1));
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (!this.canvas.hasPointerCapture(event.pointerId)) return;
      const stroke = this.strokes.at(-1);
      stroke.points.push(this.at(event));
      this.draw({ ...stroke, points: stroke.points.slice(-2) });
    });
    this.canvas.addEventListener("lostpointercapture", () => remember([{ photo: this, before: this.strokes.slice(0, -1), after: [...this.strokes] }]));
  }

  async take(file) {
    setBusy(true, `reading ${file.name}`);
    const answer = await ask("PUT", `${this.of}_image_path?name=${encodeURIComponent(file.name)}`, file);
    if (answer) {
      this.image.src = `/${session}/files/${answer.shown}`;
      await this.image.decode();
      this.canvas.width = this.image.naturalWidth;
      this.canvas.height = this.image.naturalHeight;
      const boxes = this.of === "content" ? ".photo[data-of=content] .sheet, #view" : ".photo[data-of=style] .sheet";
      each(boxes, (box) => box.style.setProperty("--ratio", this.canvas.width / this.canvas.height));
    }
    setBusy(false);
    if (!answer) return false; // what was there stays
    this.ready = true;
    this.forget();
    this.figure.querySelector(".drop").hidden = this.ready;
    this.figure.querySelector(".sheet").hidden = !this.ready;
    this.figure.querySelector(".change").hidden = !this.ready;
    this.figure.querySelector(".name").textContent = this.ready ? file.name : "";
    each(".later", (element) => { element.hidden = !(content.ready && style.ready); });
    for (const id of ["view", "regions"]) $(id).hidden = true;
    setMade(null);
    setWarnings([]);
    return true;
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * this.canvas.width / box.width, (event.clientY - box.top) * this.canvas.height / box.height];
  }

  // In whole pixels: the canvas's own lines are blended at their edges, and a mask has flat colours.
  draw({ colour, size, points }) {
    const fill = colour ? this.context.fillRect : this.context.clearRect;
    this.context.fillStyle = colour || "#000";
    const radius = size / 2;
    for (let n = 0; n < points.length; n++) {
      const [x0, y0] = points[Math.max(0, n - 1)], [x1, y1] = points[n];
      const steps = Math.max(1, Math.ceil(Math.max(Math.abs(x1 - x0), Math.abs(y1 - y0))));
      for (let step = 0; step <= steps; step++) {
        const x = x0 + (x1 - x0) * step / steps, y = y0 + (y1 - y0) * step / steps;
        for (let row = Math.ceil(y - radius); row < y + radius; row++) {
          const half = Math.sqrt(Math.max(0, radius ** 2 - (row - y) ** 2)), left = Math.round(x - half);
          fill.call(this.context, left, row, Math.round(x + half) - left, 1);
        }
      }
    }
  }

  redraw() {
    this.context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    this.strokes.forEach((stroke) => this.draw(stroke));
  }

  forget() {
    this.strokes = [];
    this.redraw();
    for (const list of [done, undone]) for (let n = list.length; n--;) if (list[n].photo === this) list.splice(n, 1);
  }

  // The mask that belongs to what is chosen; false if it was refused.
  async sendMask() {
    let mask, name;
    if (chosen("regions") === "strokes") {
      mask = await new Promise((resolve) => this.canvas.toBlob(resolve));
      name = `${this.of}_strokes.png`;
    } else if (chosen("regions") === "masks") {
      mask = $(`${this.of}-mask`).files[0];
      name = mask?.name;
    }
    return !mask || (await ask("PUT", `${this.of}_seg_path?name=${encodeURIComponent(name)}`, mask)) !== null;
  }
}

// What was drawn or cleared: changes of a photo's strokes, each with those before and after it.
const done = [], undone = [];

function remember(changes) {
  done.push(...changes);
  undone.length = 0;
}

function step(from, to, which) {
  const change = from.pop();
  if (!change) return;
  to.push(change);
  change.photo.strokes = [...change[which]];
  change.photo.redraw();
}

const undo = () => step(done, undone, "before"), redo = () => step(undone, done, "after");
const content = new Photo("content"), style = new Photo("style");

function fileList(file) {
  const list = new DataTransfer();
  if (file) list.items.add(file);
  return list.files;
}

async function takeExample(name, files) {
  const fetched = [];
  for (const file of Object.values(files)) {
    const answer = await fetch(`/examples/${name}/${file}`);
    fetched.push(new File([await answer.blob()], file));
  }
  const [contentFile, styleFile, ...masks] = fetched;
  if (!(await content.take(contentFile)) || !(await style.take(styleFile))) return;
  ["content-mask", "style-mask"].forEach((id, n) => { $(id).files = fileList(masks[n]); });
  document.querySelector("input[value=masks]").click();
}

// Regions

function showTools() {
  const kind = chosen("regions");
  for (const each of ["strokes", "alike", "masks"]) $(`for-${each}`).hidden = kind !== each;
  $("show-row").hidden = kind === "whole";
  $("regions").hidden = true;
  document.body.classList.toggle("drawing", kind === "strokes");
}

each("input[name=regions]", (input) => input.addEventListener("change", showTools));
each("#content-mask, #style-mask", (input) => input.addEventListener("change", async () => {
  if (!input.files[0]) return;
  const photo = input.id === "content-mask" ? content : style;
  if (await photo.sendMask()) photo.mask = input.files[0];
  else input.files = fileList(photo.mask); // the one that was there stays
}));
$("undo").addEventListener("click", undo);
$("redo").addEventListener("click", redo);
$("clear").addEventListener("click", () => {
  const changes = [content, style].filter((photo) => photo.strokes.length).map((photo) => ({ photo, before: photo.strokes, after: [] }));
  remember(changes);
  changes.forEach(({ photo }) => { photo.strokes = []; photo.redraw(); });
});
document.addEventListener("keydown", (event) => {
  if (!(event.ctrlKey || event.metaKey) || busy || chosen("regions") !== "strokes") return;
  const key = event.key.toLowerCase();
  if (key !== "z" && key !== "y") return;
  event.preventDefault();
  key === "y" || event.shiftKey ? redo() : undo();
});
// A photo that is dropped beside its frame must not replace the page.
for (const kind of ["dragover", "drop"]) document.addEventListener(kind, (event) => event.preventDefault());
addEventListener("beforeunload", (event) => {
  if (content.strokes.length || style.strokes.length || (made && !is_saved)) event.preventDefault();
});

// What takes time

async function start(what, values = {}) {
  setBusy(true, "starting");
  setWarnings([]);
  const is_asked = (await content.sendMask()) && (await style.sendMask()) &&
    (await request(what, { regions: chosen("regions"), count: Number($("count").value), ...values }));
  if (!is_asked) setBusy(false);
}

$("show").addEventListener("click", () => start("regions"));
$("draft").addEventListener("click", () => start("draft"));
for (const id of ["make", "again"]) $(id).addEventListener("click", () => start("make", look()));
$("stop").addEventListener("click", () => { $("words").textContent = "stopping"; request("stop"); });

// What the file to download was made with; null if there is none.
let made = null, is_saved = false;
const is_made = () => made && made.realism === look().realism && made.strength === look().strength;

// The file is offered only while it is what the sliders show.
function setMade(now) {
  made = now;
  showFresh();
}

function showFresh() {
  $("made").hidden = !is_made();
  $("stale").hidden = !made || is_made();
  if (!is_made()) $("news").hidden = true;
}

const look = () => ({ realism: Number($("realism").value), strength: Number($("strength").value) });

// One picture at a time: while one is made, only the last of the sliders' positions is remembered.
let is_viewing = false, is_view_due = false;
async function showView() {
  $("realism-shown").value = $("realism").value;
  $("strength-shown").value = $("strength").value;
  showFresh();
  is_view_due = true;
  if (is_viewing || !session) return;
  is_viewing = true;
  while (is_view_due) {
    is_view_due = false;
    const view = await request("view", look());
    const after = document.querySelector("#view .after");
    if (view?.picture) {
      after.src = view.picture;
      document.querySelector("#view .before").src = content.image.src;
      $("view-name").textContent = view.is_draft ? "draft" : is_made() ? "result" : "not made yet";
      await after.decode().catch(() => {});
      $("view").hidden = false;
    } else if (made) { // no draft shows this realism: the picture stays, and says what it is
      $("view-name").textContent = `result at realism ${made.realism}`;
    } else $("view").hidden = true;
  }
  is_viewing = false;
}
each("#realism, #strength", (input) => input.addEventListener("input", showView));
document.querySelector(".compare input").addEventListener("input", (event) =>
  event.target.parentNode.style.setProperty("--at", `${event.target.value}%`));

function setWarnings(warnings) {
  $("warnings").replaceChildren(...warnings.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
}

function showMade(finished) {
  $("made-note").textContent = finished.is_whole ? "" : "You stopped it: this is the best result so far.";
  const address = (file) => `/${session}/files/${encodeURIComponent(file)}`;
  const [picture, ...others] = finished.files;
  Object.assign($("download"), { href: address(picture), download: picture });
  $("files").replaceChildren(...others.map((file) => {
    const link = Object.assign(document.createElement("a"), { href: address(file), download: file, textContent: file });
    const line = document.createElement("li");
    line.append(file.endsWith(".cube") ? "the look as a LUT, for other photos and programs: " : "regions: ", link);
    return line;
  }));
  $("command").textContent = finished.command;
  is_saved = false;
  setMade({ realism: finished.realism, strength: finished.strength });
}

$("download").addEventListener("click", () => { is_saved = true; });

$("copy").addEventListener("click", async () => {
  getSelection().selectAllChildren($("command"));
  await navigator.clipboard?.writeText($("command").textContent).catch(() => {});
});

// What the program says

function open(facts) {
  session = facts.session;
  mostBytes = facts.most_bytes;
  const brushes = [...Object.entries(facts.colours), ["eraser", ""]].map(([name, colour], n) => {
    const label = Object.assign(document.createElement("label"), { title: name });
    const input = Object.assign(document.createElement("input"), { type: "radio", name: "brush", value: colour, checked: !n, ariaLabel: name });
    label.append(input);
    if (colour) label.style.background = colour;
    else { label.className = "eraser"; label.append(name); }
    return label;
  });
  $("brushes").replaceChildren(...brushes);
  const step = facts.realisms[1] - facts.realisms[0];
  Object.assign($("realism"), { min: facts.realisms[0], max: facts.realisms.at(-1), step, value: 1 });
  Object.assign($("strength"), { min: 0, max: facts.most_strength, step: 0.05, value: 1 });
  $("examples").append(...facts.examples.map((name) => {
    const button = Object.assign(document.createElement("button"), { type: "button", className: "link", textContent: name });
    button.addEventListener("click", () => takeExample(name, facts.example_files));
    return button;
  }));
  $("examples").hidden = !facts.examples.length;
  showView();
}

const ended = {
  regions(message) {
    const picture = `/${session}/files/${message.picture}`;
    document.querySelector("#regions img").src = picture;
    $("regions").href = picture;
    $("regions").hidden = false;
  },
  draft: showView,
  async make(message) {
    showMade(message);
    await showView();
    $("news").textContent = message.is_whole ? "The result is ready." : "Stopped; the best result so far is ready.";
    $("news").hidden = false;
    $("news").scrollIntoView({ block: "start", behavior: "smooth" });
  },
  stopped: showView,
  error(message) { showError(message.error); },
};

const stream = new EventSource("/messages");
stream.addEventListener("error", lost);
stream.addEventListener("message", (event) => {
  const message = JSON.parse(event.data);
  if (message.kind === "open") return open(message);
  if (message.kind === "progress") {
    document.querySelector("#busy progress").value = message.share;
    $("words").textContent = message.words;
  } else if (message.kind === "waiting") {
    $("words").textContent = message.before === 1 ? "waiting for another page to finish" : `waiting: ${message.before} come first`;
  } else {
    setBusy(false);
    setWarnings(message.warnings ?? []);
    ended[message.kind](message);
  }
});
