// A frame that shows a part of its layer: wheel with Ctrl, two fingers, or its buttons.

import { made } from "./dom.js";

const MOST_ZOOM = 8;

export class Frame {
  // `begin` gets the event of a pointer and returns what to do with its moves, or null where it moves the layer.
  constructor(element, begin, changed = () => {}) {
    Object.assign(this, { element, begin, changed, layer: element.querySelector(".layer"), scale: 1, x: 0, y: 0 });
    this.pointers = new Map();
    this.drag = this.pinch = null;
    const button = (text, title, act) => {
      const it = made("button", { type: "button", textContent: text, title, ariaLabel: title });
      it.addEventListener("click", act);
      return it;
    };
    const byButton = (factor) => () => {
      const box = element.getBoundingClientRect();
      this.zoom(factor, box.left + box.width / 2, box.top + box.height / 2);
    };
    element.append(made("span", { className: "zoom" },
      button("\u2212", "smaller", byButton(1 / 1.6)), button("Fit", "whole picture", () => this.fit()), button("+", "larger", byButton(1.6))));
    element.addEventListener("wheel", (event) => {
      if (!(event.ctrlKey || event.metaKey) || !this.canZoom()) return;
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY / 200), event.clientX, event.clientY);
    }, { passive: false });
    element.addEventListener("pointerdown", (event) => this.down(event));
    element.addEventListener("pointermove", (event) => this.move(event));
    element.addEventListener("pointerup", (event) => this.up(event, false));
    element.addEventListener("pointercancel", (event) => this.up(event, true));
    addEventListener("resize", () => this.fit());
    this.show();
  }

  canZoom() { return getComputedStyle(this.element.querySelector(".zoom")).display !== "none"; }

  fit() { Object.assign(this, { scale: 1, x: 0, y: 0 }); this.show(); }

  // By a factor, around a place on the screen.
  zoom(factor, clientX, clientY) {
    const box = this.element.getBoundingClientRect(), scale = Math.min(MOST_ZOOM, Math.max(1, this.scale * factor));
    const x = clientX - box.left, y = clientY - box.top;
    this.place(scale, x - (x - this.x) * scale / this.scale, y - (y - this.y) * scale / this.scale);
  }

  place(scale, x, y) {
    const { clientWidth: width, clientHeight: height } = this.element;
    this.scale = scale;
    this.x = Math.min(0, Math.max(width * (1 - scale), x));
    this.y = Math.min(0, Math.max(height * (1 - scale), y));
    this.show();
  }

  show() {
    this.layer.style.transform = `translate(${this.x}px, ${this.y}px) scale(${this.scale})`;
    this.element.classList.toggle("zoomed", this.scale > 1);
    this.changed();
  }

  down(event) {
    if (event.target.closest(".zoom") || event.button > 1) return;
    this.element.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, event);
    if (this.pointers.size === 2 && this.canZoom()) {
      this.drag?.cancel();
      this.drag = null;
      this.pinch = this.fingers();
    } else if (this.pointers.size === 1) {
      this.drag = (event.button ? null : this.begin(event)) ?? this.moving(event);
    }
  }

  moving(event) {
    const from = [event.clientX - this.x, event.clientY - this.y];
    return { move: (at) => this.place(this.scale, at.clientX - from[0], at.clientY - from[1]), end() {}, cancel() {} };
  }

  // The middle of two fingers, and how far apart they are.
  fingers() {
    const [one, other] = [...this.pointers.values()];
    return { x: (one.clientX + other.clientX) / 2, y: (one.clientY + other.clientY) / 2,
      apart: Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY) };
  }

  move(event) {
    if (!this.pointers.has(event.pointerId)) return;
    this.pointers.set(event.pointerId, event);
    if (this.pinch && this.pointers.size === 2) {
      const now = this.fingers();
      this.place(this.scale, this.x + now.x - this.pinch.x, this.y + now.y - this.pinch.y);
      this.zoom(now.apart / Math.max(1, this.pinch.apart), now.x, now.y);
      this.pinch = now;
    } else {
      this.drag?.move(event);
    }
  }

  up(event, isCancelled) {
    if (!this.pointers.delete(event.pointerId)) return;
    if (isCancelled) this.drag?.cancel();
    else this.drag?.end();
    this.drag = null;
    if (!this.pointers.size) this.pinch = null;
  }
}
