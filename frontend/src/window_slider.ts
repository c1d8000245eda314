/** The slider under the bars of a tensor: its window as a piece of a rail, which is moved whole or by its edges.
 *
 * A bit's place on the rail is that of its bar. What a person does is told to the kernel, and what the kernel says is only
 * drawn: a slider that answers what it is told would take a window back that a person has moved on in the meantime.
 */
import type { AnyModel, RenderProps } from "@anywidget/types";
import { element } from "./elements";
import { bitOf, bitsUp, limitsOf, movedTo, type Bits, type Part, type Rail } from "./window_moves";

interface State {
  /** The highest and the lowest bit that are kept; null where there is no window. */
  window: [number, number] | null;
  top: number;
  bottom: number;
  disabled: boolean;
}

const NAMES: Record<Part, string> = { window: "window", high: "highest bit", low: "lowest bit" };
const HINTS: Record<Part, string> = {
  window: "Moves the window: drag, or arrow keys",
  high: "Moves the highest bit: the word grows or shrinks",
  low: "Moves the lowest bit: the word grows or shrinks",
};

class WindowSlider {
  private readonly rail = element("div", "qws-rail");
  private readonly parts = new Map<Part, HTMLElement>();
  /** What is dragged, and how many columns it is ahead of the pointer. */
  private dragged: { part: Part; ahead: number } | null = null;

  constructor(
    private readonly model: AnyModel<State>,
    root: HTMLElement,
  ) {
    root.classList.add("qws");
    root.append(this.rail);
    for (const part of Object.keys(NAMES) as Part[]) {
      const handle = element("div", `qws-${part}`, {
        role: "slider",
        "aria-label": NAMES[part],
        "aria-orientation": "horizontal",
        title: HINTS[part],
        "data-lm-suppress-shortcuts": "true",
      });
      handle.addEventListener("keydown", (event) => this.onKey(part, event));
      this.parts.set(part, handle);
      this.rail.append(handle);
    }
    this.rail.addEventListener("pointerdown", (event) => this.onDown(event));
    this.rail.addEventListener("pointermove", (event) => this.onMove(event));
    for (const end of ["pointerup", "pointercancel"]) this.rail.addEventListener(end, () => (this.dragged = null));
    this.draw();
  }

  draw(): void {
    const { top, bottom } = this.onRail;
    const columns = top - bottom + 1;
    const bits = this.model.get("window");
    const disabled = this.model.get("disabled");
    this.rail.style.setProperty("--columns", String(columns));
    this.rail.classList.toggle("qws-disabled", disabled);
    for (const [part, handle] of this.parts) {
      handle.hidden = bits === null;
      handle.tabIndex = disabled ? -1 : 0;
      handle.setAttribute("aria-disabled", String(disabled));
      if (bits === null) continue;
      const [least, most] = limitsOf(part, bits, this.onRail);
      handle.setAttribute("aria-valuemin", String(least));
      handle.setAttribute("aria-valuemax", String(most));
      handle.setAttribute("aria-valuenow", String(bitOf(part, bits)));
      handle.setAttribute("aria-valuetext", part === "window" ? `2^${bits[0]} … 2^${bits[1]}` : `2^${bitOf(part, bits)}`);
    }
    if (bits === null) return;
    const percent = (column: number): string => `${(100 * Math.min(Math.max(column, 0), columns)) / columns}%`;
    this.rail.style.setProperty("--left", percent(top - bits[0]));
    this.rail.style.setProperty("--right", percent(top - bits[1] + 1));
  }

  private get onRail(): Rail {
    return { top: this.model.get("top"), bottom: this.model.get("bottom") };
  }

  private get movable(): Bits | null {
    return this.model.get("disabled") ? null : this.model.get("window");
  }

  private move(part: Part, bit: number): void {
    const bits = this.movable;
    if (bits === null) return;
    const [high, low] = movedTo(part, bit, bits, this.onRail);
    if (high === bits[0] && low === bits[1]) return;
    this.model.set("window", [high, low]);
    this.model.save_changes();
  }

  private onKey(part: Part, event: KeyboardEvent): void {
    const up = bitsUp(event.key);
    if (up === undefined || event.ctrlKey || event.metaKey || event.altKey || this.movable === null) return;
    this.move(part, bitOf(part, this.movable) + up);
    event.preventDefault();
    event.stopPropagation();
  }

  /** How many columns lie left of the pointer. */
  private columnsAt(event: PointerEvent): number {
    const { left, width } = this.rail.getBoundingClientRect();
    const { top, bottom } = this.onRail;
    return ((event.clientX - left) / width) * (top - bottom + 1);
  }

  /** How many columns lie left of what a part is moved by: of its outer edge. */
  private columnsOf(part: Part, bits: Bits): number {
    return this.onRail.top - (part === "low" ? bits[1] - 1 : bits[0]);
  }

  private onDown(event: PointerEvent): void {
    const bits = this.movable;
    if (bits === null || event.button !== 0) return;
    const held = [...this.parts].find(([, handle]) => handle === event.target)?.[0];
    const part = held ?? "window";
    // Beside the window, it comes to the pointer with its middle.
    const ahead = held ? this.columnsOf(part, bits) - this.columnsAt(event) : -(bits[0] - bits[1] + 1) / 2;
    this.dragged = { part, ahead };
    this.rail.setPointerCapture(event.pointerId);
    this.parts.get(part)!.focus({ preventScroll: true });
    event.preventDefault();
    if (!held) this.onMove(event);
  }

  private onMove(event: PointerEvent): void {
    if (this.dragged === null) return;
    const { part, ahead } = this.dragged;
    const columns = Math.round(this.columnsAt(event) + ahead);
    this.move(part, this.onRail.top - columns + (part === "low" ? 1 : 0));
  }
}

export default {
  render({ model, el }: RenderProps<State>): () => void {
    const slider = new WindowSlider(model as AnyModel<State>, el);
    const draw = (): void => slider.draw();
    const events = ["window", "top", "bottom", "disabled"].map((name) => `change:${name}`);
    for (const event of events) model.on(event, draw);
    return () => events.forEach((event) => model.off(event, draw));
  },
};
