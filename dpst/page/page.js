// The page asks the program for everything, and shows what it answers. Nothing is decided here but what is drawn and shown.

import { $, each, made } from "./dom.js";
import { Frame } from "./frame.js";
import { draw } from "./strokes.js";

const chosen = (name) => document.querySelector(`input[name=${name}]:checked`).value;
const percent = (share) => share > 0 && share < 0.01 ? "less than 1%" : `${Math.round(100 * share)}%`;
let session = "";
let maxBytes = Infinity;

// Asking

async function ask(method, what, body) {
  if (body?.size > maxBytes) {
    showError(`The file is too large; choose one of ${maxBytes / 2 ** 20} MiB at most.`);
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
const fileOf = (name) => `/${session}/files/${encodeURIComponent(name)}`;

function showError(text) {
  $("error-words").textContent = text;
  $("error").hidden = !text;
  showStatus();
}

const showStatus = () => { $("status").hidden = $("error").hidden && $("busy").hidden; };
$("close-error").addEventListener("click", () => showError(""));

function lost() {
  stream.close();
  setBusy("lost");
  $("busy").hidden = true;
  showError(session ? "The program has ended, or the connection to it was lost. Start it, and load this page again."
    : "Too many pages are open, or the program has ended. Close another page, and load this one again.");
  return null;
}

// What the page waits for: with "" nothing; while `free`, it can be used meanwhile.
let busy = false;
function setBusy(words, { free = false, canStop = false } = {}) {
  busy = Boolean(words) && !free;
  $("busy").hidden = !words;
  $("stop").hidden = !canStop;
  $("words").textContent = words;
  document.querySelector("#busy progress").removeAttribute("value");
  each("main button:not(.zoom button), main input[type=file], input[name=regions], #count", (element) => { element.disabled = busy; });
  if (!busy) showHistory();
  showStatus();
}

// Photos and strokes

class Photo {
  constructor(of) {
    this.of = of;
    this.figure = document.querySelector(`.photo[data-of=${of}]`);
    this.image = this.figure.querySelector(".shown");
    this.base = this.figure.querySelector(".base");
    this.canvas = this.figure.querySelector("canvas");
    this.context = this.canvas.getContext("2d");
    this.mask = null;
    this.ready = false;
    this.frame = new Frame(this.figure.querySelector(".frame"), (event) => this.stroke(event));
    const input = $(`${of}-photo`);
    input.addEventListener("change", () => { if (input.files[0]) this.take(input.files[0]); input.value = ""; });
    this.figure.querySelector(".change").addEventListener("click", () => input.click());
    const mask = $(`${of}-mask`);
    mask.addEventListener("change", () => { if (mask.files[0]) this.takeMask(mask.files[0]); mask.value = ""; });
  }

  // What does not work leaves everything as it was.
  async take(file) {
    showError("");
    setBusy(`reading ${file.name}`);
    const answer = await ask("PUT", `${this.of}_image_path?name=${encodeURIComponent(file.name)}`, file);
    if (answer) {
      this.image.src = fileOf(answer.shown);
      await this.image.decode();
      this.canvas.width = this.image.naturalWidth;
      this.canvas.height = this.image.naturalHeight;
      const ratio = this.canvas.width / this.canvas.height;
      each(`.photo[data-of=${this.of}] .sheet`, (box) => box.style.setProperty("--ratio", ratio));
      const large = document.querySelectorAll("#regions .sheet")[this.of === "content" ? 0 : 1];
      large.style.setProperty("--ratio", ratio);
      large.querySelector(".shown").src = this.image.src;
      if (this.of === "content") {
        setClip(answer.is_clip);
        $("view").style.setProperty("--ratio", ratio);
        document.querySelector("#view .before").src = this.image.src;
      }
      this.ready = true;
      this.setMask(null);
      this.frame.fit();
      startDrawing({ ...drawing, [this.of]: [], bases: null });
      this.figure.querySelector(".drop").hidden = true;
      this.figure.querySelector(".sheet").hidden = false;
      this.figure.querySelector(".change").hidden = false;
      this.figure.querySelector(".name").textContent = file.name;
      each(".later", (element) => { element.hidden = !(content.ready && style.ready); });
      setWarnings([]);
      setView(null);
      changed();
    }
    setBusy("");
    return Boolean(answer);
  }

  setMask(file) {
    this.mask = file;
    $(`${this.of}-mask`).parentNode.querySelector(".name").textContent = file ? file.name : "";
  }

  async takeMask(file) {
    showError("");
    if (!(await this.send(file, file.name))) return;
    this.setMask(file);
    changed();
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * this.canvas.width / box.width, (event.clientY - box.top) * this.canvas.height / box.height];
  }

  stroke(event) {
    if (busy || !document.body.classList.contains("drawing")) return null;
    const stroke = { colour: chosen("brush"), size: Number($("width").value), points: [this.at(event)] };
    draw(this.context, stroke);
    return {
      move: (event) => {
        stroke.points.push(this.at(event));
        draw(this.context, { ...stroke, points: stroke.points.slice(-2) });
      },
      end: () => setDrawing({ ...drawing, [this.of]: [...drawing[this.of], stroke] }),
      cancel: () => this.show(),
    };
  }

  // Draws everything again.
  show() {
    this.context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    drawing[this.of].forEach((stroke) => draw(this.context, stroke));
    const base = drawing.bases?.[this.of];
    this.base.hidden = !base;
    if (base) this.base.src = base.src;
  }

  // The strokes as a mask, over the found regions where they begin with those.
  drawnMask() {
    const whole = made("canvas", { width: this.canvas.width, height: this.canvas.height }), context = whole.getContext("2d");
    context.imageSmoothingEnabled = false;
    if (drawing.bases) context.drawImage(drawing.bases[this.of], 0, 0, whole.width, whole.height);
    context.drawImage(this.canvas, 0, 0);
    return new Promise((resolve) => whole.toBlob(resolve));
  }

  async send(mask, name) {
    return (await ask("PUT", `${this.of}_seg_path?name=${encodeURIComponent(name)}`, mask)) !== null;
  }

  // The mask that belongs to what is chosen; false if there is none or it was refused.
  async sendMask() {
    if (chosen("regions") === "strokes") return this.send(await this.drawnMask(), `${this.of}_${drawing.bases ? "regions" : "strokes"}.png`);
    if (chosen("regions") !== "masks") return true;
    if (this.mask) return this.send(this.mask, this.mask.name);
    showError(`Choose the mask of ${this.of === "content" ? yours() : "the other photo"}, too.`);
    return false;
  }
}

// Whether the content is a clip, of which the first frame is shown: some texts are others then, and regions are not found unless
// asked for, as they hold for a camera that does not move.
let isClip = false;
function setClip(value) {
  if (value === isClip) return;
  isClip = value;
  document.body.classList.toggle("clip", isClip);
  each("[data-clip]", (element) => [element.textContent, element.dataset.clip] = [element.dataset.clip, element.textContent]);
  content.image.alt = yours();
  document.querySelector(`input[name=regions][value=${isClip ? "whole" : "found"}]`).checked = true;
  showTools();
}
const yours = () => isClip ? "your clip" : "your photo";

// What is drawn on both photos, and what was before and, after an undo, will be again. A state is never changed, but replaced.
let drawing = { content: [], style: [], bases: null, legend: [] };
let past = [], future = [];
const content = new Photo("content"), style = new Photo("style");

function startDrawing(state) {
  past = [];
  future = [];
  applyDrawing(state);
}

function setDrawing(state) {
  past.push(drawing);
  future = [];
  applyDrawing(state);
  changed();
}

function applyDrawing(state) {
  const isOther = state.bases !== drawing.bases;
  drawing = state;
  content.show();
  style.show();
  if (isOther) showBrushes();
  $("how").textContent = state.bases
    ? "Draw over the found regions where they are wrong: each stroke takes what it covers into the region of its colour."
    : "Draw a few strokes of the same colour on what belongs together, in both photos. The rest is completed.";
  showHistory();
}

const isDrawn = () => Boolean(drawing.content.length || drawing.style.length || drawing.bases);

function showHistory() {
  $("undo").disabled = !past.length;
  $("redo").disabled = !future.length;
  $("clear").disabled = !isDrawn();
}

function step(from, to) {
  if (busy || !from.length) return;
  to.push(drawing);
  applyDrawing(from.pop());
  changed();
}

const undo = () => step(past, future), redo = () => step(future, past);
$("undo").addEventListener("click", undo);
$("redo").addEventListener("click", redo);
$("clear").addEventListener("click", () => setDrawing({ content: [], style: [], bases: null, legend: [] }));
addEventListener("keydown", (event) => {
  const key = event.key.toLowerCase();
  if (!(event.ctrlKey || event.metaKey) || event.altKey || chosen("regions") !== "strokes" || !(key === "z" || key === "y")) return;
  event.preventDefault();
  if (key === "y" || event.shiftKey) redo();
  else undo();
});

let colours = [];
function showBrushes() {
  const named = drawing.legend.map(({ name, colour }) => [name, colour]);
  const others = colours.filter(([, colour]) => !named.some(([, taken]) => taken === colour));
  $("brushes").replaceChildren(...[...named, ...others, ["eraser", ""]].map(([name, colour], n) => {
    const input = made("input", { type: "radio", name: "brush", value: colour, checked: !n, ariaLabel: name });
    const label = made("label", { title: name, className: colour ? "" : "eraser" }, input);
    if (colour) label.style.background = colour;
    else label.append("Eraser");
    return label;
  }));
}

// Files that are dropped beside the frames, too

addEventListener("dragover", (event) => {
  event.preventDefault();
  each(".photo", (figure) => figure.classList.toggle("over", figure.contains(event.target)));
});
addEventListener("dragleave", () => each(".photo", (figure) => figure.classList.remove("over")));
addEventListener("drop", async (event) => {
  event.preventDefault();
  each(".photo", (figure) => figure.classList.remove("over"));
  const files = [...event.dataTransfer.files];
  if (busy || !files.length) return;
  const onto = [content, style].find((photo) => photo.figure.contains(event.target));
  const places = onto ? [onto] : [content, style].filter((photo) => !photo.ready);
  if (!places.length) showError("Drop the photo onto the one that it replaces.");
  for (const photo of places.slice(0, files.length)) await photo.take(files.shift());
});

async function takeExample(name, files) {
  const fetched = [];
  for (const file of Object.values(files)) {
    const answer = await fetch(`/examples/${name}/${file}`);
    fetched.push(new File([await answer.blob()], file));
  }
  const [contentFile, styleFile, ...masks] = fetched;
  if (!(await content.take(contentFile)) || !(await style.take(styleFile))) return;
  [content, style].forEach((photo, n) => photo.setMask(masks[n]));
  chooseRegions("masks");
}

// Regions

const chooseRegions = (kind) => document.querySelector(`input[name=regions][value=${kind}]`).click();

function showTools() {
  const kind = chosen("regions"), isDrawing = kind === "strokes";
  for (const each of ["strokes", "found", "masks"]) $(`for-${each}`).hidden = kind !== each;
  $("show-row").hidden = kind === "whole";
  $("correct").hidden = kind !== "found" && kind !== "semantic";
  document.body.classList.toggle("drawing", isDrawing);
  for (const photo of [content, style]) photo.frame.fit();
  changed();
}

const showFrames = () => document.querySelector(".pair").scrollIntoView({ block: "start" });

each("input[name=regions]", (input) => input.addEventListener("change", () => {
  showTools();
  if (input.value === "strokes") showFrames();
}));
$("count").addEventListener("change", () => changed());

// What was made before is no longer of these regions.
function changed() {
  $("regions").hidden = true;
  version++;
  showState();
}

let isCorrecting = false; // whether the regions that are being looked for are to be drawn on

async function showRegions({ regions, masks }) {
  const kept = [];
  for (const name of masks) {
    const image = new Image();
    image.src = URL.createObjectURL(await (await fetch(fileOf(name))).blob());
    await image.decode();
    kept.push(image);
  }
  const matched = regions.filter(({ colour }) => colour);
  if (isCorrecting) {
    isCorrecting = false;
    const isNone = matched.length < 2;
    if (isNone) showError("No regions were found that both photos have. Draw strokes on each of them instead.");
    setDrawing({ content: [], style: [], bases: isNone ? null : { content: kept[0], style: kept[1] }, legend: isNone ? [] : matched });
    chooseRegions("strokes");
    return;
  }
  document.querySelectorAll("#regions .base").forEach((image, n) => { image.src = kept[n].src; });
  const shares = ({ content, style }) => ` ${percent(content)} of ${yours()}, ${percent(style)} of the other`;
  $("legend").replaceChildren(...regions.map((region) => {
    if (!region.colour) return made("li", { className: "soft", textContent: `${region.name}:${shares(region)}; not matched` });
    const swatch = made("i", { className: "swatch" });
    swatch.style.background = region.colour;
    return made("li", {}, swatch, made("b", { textContent: region.name }), shares(region));
  }));
  if (matched.length < 2) $("legend").prepend(made("li", { textContent: "No regions were found that both photos have: they are matched as a whole." }));
  $("regions").hidden = false;
  $("regions").scrollIntoView({ block: "nearest" });
}

// What takes time. The tasks are answered in their order; one that was cancelled is no longer waited for.

const tasks = [];

async function start(what, values = {}) {
  await cancel();
  showError("");
  setBusy("starting", { canStop: true });
  const task = { what, version, isCancelled: false, isSeen: false };
  tasks.push(task);
  const kind = chosen("regions") === "strokes" && drawing.bases ? "masks" : chosen("regions");
  const isAsked = (what === "write" || ((await content.sendMask()) && (await style.sendMask()))) && !task.isCancelled &&
    (await request(what, { regions: kind, count: Number($("count").value), ...look(), ...values }));
  if (!isAsked) {
    tasks.splice(tasks.indexOf(task), 1);
    if (!task.isCancelled) setBusy("");
  }
}

async function cancel() {
  const running = tasks.filter((task) => !task.isCancelled);
  for (const task of running) task.isCancelled = true;
  if (!running.length) return;
  setBusy("");
  showState();
  await request("stop");
}

$("show").addEventListener("click", () => { isCorrecting = false; start("regions"); });
$("correct").addEventListener("click", () => { isCorrecting = true; start("regions"); });
$("draft").addEventListener("click", () => start("draft"));
$("make").addEventListener("click", () => start("make"));
$("download").addEventListener("click", () => start("write", { what: "result" }));
$("download-lut").addEventListener("click", () => start("write", { what: "lut" }));
$("stop").addEventListener("click", cancel);

// The look

const look = () => ({ realism: Number($("realism").value), strength: Number($("strength").value) });

// The picture that is shown, whether what was made is not downloaded yet, and how often the photos and regions had changed, now
// and when what is shown was begun.
let view = null, isUnsaved = false, version = 0, shownVersion = 0;

// One picture at a time: while one is made, only the last of the sliders' positions is remembered.
let viewing = null, isViewDue = false;
function showView() {
  $("realism-shown").value = $("realism").value;
  $("strength-shown").value = $("strength").value;
  isViewDue = true;
  showState();
  if (session) viewing ??= renewView();
  return viewing;
}

async function renewView() {
  while (isViewDue) {
    isViewDue = false;
    const now = await request("view", look());
    if (now?.picture) {
      const after = document.querySelector("#view .after");
      after.src = now.picture;
      await after.decode().catch(() => {});
    }
    setView(now?.picture ? now : null);
  }
  viewing = null;
}

function setView(now) {
  view = now;
  $("view").hidden = !view;
  if (!view) isUnsaved = false;
  if (view?.command) {
    const hasMasks = view.command.includes("_seg_path"), photos = isClip ? `the clip${hasMasks ? "," : " and"} the photo` : "both photos";
    const files = `${photos}${hasMasks ? " and their masks" : ""}`;
    $("command-note").textContent = view.command.startsWith("python ") ? `In the folder of deep_photostyle.py, with ${files} beside it:`
      : `In a folder with ${files}:`;
    $("command").textContent = view.command;
    const names = [`Regions of ${yours()}`, `Regions of the other${isClip ? " photo" : ""}`];
    $("masks").replaceChildren(...view.masks.map((file, n) => made("a", { href: fileOf(file), download: file, textContent: names[n] })));
  }
  showState();
}

// Says what is shown; only what can be seen can be downloaded.
function showState() {
  const { realism } = look(), isSolved = view?.realism === realism;
  const isStale = version !== shownVersion;
  const isMaking = busy && Boolean(view) && !view.is_draft && !view.is_whole;
  const isMade = Boolean(view) && !view.is_draft && isSolved && !isStale && !isMaking;
  $("to-download").hidden = !isMade;
  $("command-line").hidden = !isMade;
  $("to-make").hidden = isMade && view.is_whole;
  $("make").textContent = view && !view.is_draft && !isMade ? "Make this one" : "Make the result";
  $("view").classList.toggle("not-made", Boolean(view) && (!isSolved || isStale));
  $("view-name").textContent = !view ? "" : `${view.is_draft ? "draft" : isMaking ? "so far" : "result"}${isSolved ? "" : ` at realism ${view.realism}`}`;
  $("state").textContent = !view ? ""
    : isStale ? "Not made yet: the regions have changed since this picture."
    : !isSolved ? `Not made yet at realism ${realism}. The picture below has realism ${view.realism}.`
    : isMaking ? "This is what there is so far."
    : view.is_draft ? `This is a draft${isClip ? " of the first frame" : ""}. Make the result to download it.`
    : view.is_whole ? isClip ? "The look is ready; this is the first frame. Downloading restyles the whole clip." : "The result is ready." : "Not finished: this is the best picture so far.";
  $("state").classList.toggle("ready", isMade);
  $("draft-note").hidden = Boolean(view);
}

each("#realism, #strength", (input) => input.addEventListener("input", showView));

const slider = document.querySelector(".compare input"), comparing = document.querySelector(".compare");
let compare = null;
compare = new Frame(comparing, (event) => {
  const box = comparing.getBoundingClientRect(), isNear = Math.abs(event.clientX - box.left - box.width * slider.value / 100) < 28;
  if (compare.scale > 1 && !isNear) return null;
  const move = (at) => {
    slider.value = 100 * (at.clientX - box.left) / box.width;
    showEdge();
  };
  move(event);
  return { move, end() {}, cancel() {} };
}, showEdge);

function showEdge() {
  comparing.style.setProperty("--at", `${slider.value}%`);
  if (!compare) return;
  const width = comparing.clientWidth || 1;
  comparing.style.setProperty("--clip", `${100 * (width * slider.value / 100 - compare.x) / compare.scale / width}%`);
}
slider.addEventListener("input", showEdge);

function setWarnings(warnings) {
  $("warnings").replaceChildren(...warnings.map((textContent) => made("li", { textContent })));
}

$("copy").addEventListener("click", async () => {
  getSelection().selectAllChildren($("command"));
  await navigator.clipboard?.writeText($("command").textContent).catch(() => {});
});

addEventListener("beforeunload", (event) => { if (isUnsaved || drawing.content.length || drawing.style.length) event.preventDefault(); });
addEventListener("focus", () => { document.title = TITLE; });
const TITLE = document.title;

// What the program says

function open(facts) {
  session = facts.session;
  maxBytes = facts.max_bytes;
  colours = Object.entries(facts.colours);
  showBrushes();
  const step = facts.realisms[1] - facts.realisms[0];
  Object.assign($("realism"), { min: facts.realisms[0], max: facts.realisms.at(-1), step, value: 1 });
  Object.assign($("strength"), { min: 0, max: facts.max_strength, step: 0.05, value: 1 });
  for (let count = 2; count <= facts.max_regions; count++) $("count").append(made("option", { value: count, textContent: count }));
  document.querySelector("input[value=semantic]").parentNode.hidden = !facts.finds_semantic;
  $("examples").append(...facts.examples.map((name) => {
    const button = made("button", { type: "button", className: "link", textContent: name });
    button.addEventListener("click", () => takeExample(name, facts.example_files));
    return button;
  }));
  $("examples").hidden = !facts.examples.length;
  showTools();
  showView();
}

// Shows what a task has made, and brings it into view the first time.
async function showNew(task) {
  const isFirst = !task.isSeen;
  task.isSeen = true;
  shownVersion = task.version;
  await showView();
  if (isFirst) $("look").scrollIntoView({ block: "start" });
}

const ended = {
  regions: showRegions,
  draft: showView,
  make() {
    isUnsaved = true;
    $("download").focus({ preventScroll: true });
    if (!document.hasFocus()) document.title = `Ready \u2013 ${TITLE}`;
  },
  write({ file }) {
    made("a", { href: fileOf(file), download: file }).click();
    if (!file.endsWith(".cube")) isUnsaved = false;
    $("state").textContent = `${file} is in your downloads.`;
  },
  stopped: showView,
  error(message) { showError(message.error); },
};

const stream = new EventSource("/messages");
stream.addEventListener("error", lost);
stream.addEventListener("message", async (event) => {
  const message = JSON.parse(event.data);
  if (message.kind === "open") return open(message);
  const task = tasks[0];
  if (message.kind === "view") {
    if (task.isCancelled) return;
    if (task.what === "draft" && !task.isSeen) setBusy("more of the realism slider", { free: true, canStop: true });
    showNew(task);
  } else if (message.kind === "progress") {
    if (task?.isCancelled) {
      if (tasks.length > 1) $("words").textContent = "ending what was cancelled";
      return;
    }
    document.querySelector("#busy progress").value = message.share;
    if (busy) $("words").textContent = message.share ? `${message.words}, ${percent(message.share)}` : message.words;
  } else if (message.kind === "waiting") {
    if (tasks.some((other) => other.isCancelled)) $("words").textContent = "ending what was cancelled";
    else $("words").textContent = message.before === 1 ? "waiting for another page to finish" : `waiting: ${message.before} come first`;
  } else {
    tasks.shift();
    if (task?.isCancelled) {
      // What there is of a result is shown, unless something else has begun.
      if (message.kind !== "make" || tasks.length) return;
      await showNew(task);
      return ended.make();
    }
    if (message.kind === "make") await showNew(task); // before the page is free: what is half made is not the result
    setBusy("");
    if (message.kind !== "write") setWarnings(message.warnings ?? []);
    await ended[message.kind](message);
  }
});
