/** The list of tensors: a tree grid of which only the lines that are seen are in the page.
 *
 * What it shows comes from the kernel; finding, sorting, grouping, folding, scrolling and choosing columns are done here,
 * also where no kernel runs. A heat map of bqplot's that is given follows it line by line.
 */
import type { AnyModel, RenderProps } from "@anywidget/types";
import { element, same } from "./elements";
import { HeatMap, type Model } from "./heat_map";
import { headerCell, inWords, keyOf, lineElement, ROW } from "./line_elements";
import { linesOf, lineThatBegins, type Line, type Row, type Sorting } from "./order";
import { ask, besides, readUnderPointer } from "./reading";
import { clicked, extended, only, toggled, type Selection } from "./selection";
import { nameSliders } from "./slider_names";
import { arrange, arrangementOf, shownColumns, type Bit, type Column, type State } from "./state";
import { Toolbar } from "./toolbar";
import { TypeAhead } from "./type_ahead";

const HEADER = 28;
const BEYOND = 10; // lines that are in the page above and below those that are seen

class RowList {
  private readonly body = element("div", "qwl-body", { role: "rowgroup" });
  private readonly header = element("div", "qwl-header", { role: "row" });
  private readonly grid = element("div", "qwl-grid", {
    role: "treegrid",
    tabindex: "0",
    "aria-multiselectable": "true",
    "aria-label": "tensors",
    "data-lm-suppress-shortcuts": "true",
  });
  private readonly spoken = element("div", "qwl-spoken", { role: "status", "aria-live": "polite" });
  private readonly empty = element("div", "qwl-empty");
  private readonly toolbar: Toolbar;

  private lines: Line[] = [];
  private elements = new Map<string, HTMLElement>();
  private selection: Selection;
  private readonly typing = new TypeAhead();
  private heatMap: HeatMap | null = null;
  /** The bit that is read by keys. */
  private read: Bit | null = null;
  private readonly id = `qwl-${Math.random().toString(36).slice(2)}`;

  constructor(
    private readonly model: AnyModel<State>,
    root: HTMLElement,
  ) {
    const names = model.get("selection");
    this.selection = { names, focus: names[0] ?? "", anchor: names[0] ?? "" };
    root.classList.add("qwl");
    this.toolbar = new Toolbar(model);
    root.append(this.toolbar.bar, this.grid, this.empty, this.spoken);
    this.grid.append(this.header, this.body);
    this.grid.addEventListener("scroll", () => this.onScroll(), { passive: true });
    this.grid.addEventListener("keydown", (event) => this.onKey(event));
    this.body.addEventListener("click", (event) => this.onClick(event));
    this.resize();
    model.set("scroll", 0); // all views begin again where this one does
    this.order();
  }

  // What the kernel says

  /** Take over rows that have changed. */
  patch(patch: Patch): void {
    const { sorting, tag, grouped } = arrangementOf(this.model);
    if (patch.rows.length > 0 && (sorting !== null || tag !== "" || grouped)) this.order();
    for (const [, row] of patch.rows) {
      this.elements.get(row.name)?.remove();
      this.elements.delete(row.name);
    }
    this.draw();
    if (patch.strips.length > 0) this.paint();
  }

  select(names: readonly string[]): void {
    if (same(names, this.selection.names)) return;
    this.selection = { names, focus: names[0] ?? "", anchor: names[0] ?? "" };
    this.reveal();
    this.mark();
    this.paint();
  }

  resize(): void {
    this.grid.style.height = `${this.model.get("height")}px`;
  }

  async follow(): Promise<void> {
    const ids = [this.model.get("picture"), this.model.get("mark"), this.model.get("scale")];
    if (ids.some((id) => id === null)) return;
    const manager = this.model.widget_manager as unknown as { get_model(id: string): Promise<Model> };
    const [picture, mark, scale] = await Promise.all(ids.map((id) => manager.get_model(id!.replace("IPY_MODEL_", ""))));
    this.heatMap = new HeatMap(picture, mark, scale);
    this.paint();
  }

  // What is drawn

  /** Put the rows in order: they, or how they are to be arranged, have changed. */
  order(): void {
    const rows = this.model.get("rows");
    const { folded, sorting, ...view } = arrangementOf(this.model);
    this.lines = linesOf(rows, { ...view, sorting, folded: new Set(folded) });
    if (!this.lines.some((line) => keyOf(line) === this.selection.focus)) {
      this.selection = { ...this.selection, focus: this.selection.names[0] ?? "" };
    }
    this.fillHeader(sorting);
    this.toolbar.show(this.lines.reduce((sum, line) => sum + (line.kind === "row" ? 1 : line.folded ? line.count : 0), 0));
    this.empty.hidden = this.lines.length > 0;
    this.empty.textContent = this.whyEmpty();
    // What a click on the heat map is about; a module that is folded shows its worst tensor.
    const order = this.lines.map((line) => (line.kind === "row" || line.folded ? rows[line.row].name : ""));
    if (!same(order, this.model.get("order"))) {
      this.model.set("order", order);
      this.model.save_changes();
    }
    this.body.style.height = `${this.lines.length * ROW}px`;
    this.grid.setAttribute("aria-rowcount", String(this.lines.length + 1));
    this.elements.forEach((each) => each.remove());
    this.elements.clear();
    this.draw();
    this.paint();
  }

  private fillHeader(sorting: Sorting | null): void {
    const within = this.header.contains(document.activeElement) ? document.activeElement!.closest<HTMLElement>("[data-column]") : null;
    const cells = shownColumns(this.model).map((column, place) => headerCell(column, place, sorting, () => this.sort(column)));
    this.header.replaceChildren(...cells);
    this.header.setAttribute("aria-rowindex", "1");
    if (within) this.header.querySelector<HTMLElement>(`[data-column="${within.dataset.column}"] button`)?.focus();
  }

  /** Put the lines that are seen into the page, and take the others out. */
  private draw(): void {
    const first = Math.max(Math.floor(this.grid.scrollTop / ROW) - BEYOND, 0);
    const last = Math.min(Math.ceil((this.grid.scrollTop + this.bodyHeight) / ROW) + BEYOND, this.lines.length);
    const wanted = new Set<string>();
    for (let at = first; at < last; at++) {
      const key = keyOf(this.lines[at]);
      wanted.add(key);
      if (!this.elements.has(key)) {
        const made = this.lineElement(at);
        this.elements.set(key, made);
        this.body.append(made);
      }
    }
    for (const [key, each] of this.elements) {
      if (wanted.has(key)) continue;
      each.remove();
      this.elements.delete(key);
    }
    this.mark();
  }

  private paint(): void {
    const strips = this.model.get("strips");
    this.heatMap?.paint(
      this.lines,
      { selected: new Set(this.selection.names), read: this.read && { row: this.rowOf(this.read[0]), column: this.read[1] } },
      {
        pixels: new Uint8Array(strips.buffer, strips.byteOffset, strips.byteLength),
        width: this.model.get("strip_width"),
        palette: Uint8Array.from(this.model.get("palette")),
      },
      this.grid.scrollTop / ROW,
      this.bodyHeight / ROW,
    );
  }

  private rowOf(name: string): number {
    return this.model.get("rows").findIndex((row) => row.name === name);
  }

  /** The height of the lines' place, a horizontal scroll bar counted in, which the heat map does not have. */
  private get bodyHeight(): number {
    return this.model.get("height") - HEADER;
  }

  private lineElement(at: number): HTMLElement {
    const line = this.lines[at];
    const row = this.model.get("rows")[line.row];
    return lineElement(line, row, at, shownColumns(this.model), `${this.id}-${keyOf(line)}`);
  }

  private mark(): void {
    const selected = new Set(this.selection.names);
    for (const [key, each] of this.elements) {
      if (each.dataset.tensor !== undefined) each.setAttribute("aria-selected", String(selected.has(each.dataset.tensor)));
      each.classList.toggle("qwl-focus", key === this.selection.focus);
    }
    const focused = this.elements.get(this.selection.focus);
    if (focused) this.grid.setAttribute("aria-activedescendant", focused.id);
    else this.grid.removeAttribute("aria-activedescendant");
  }

  private whyEmpty(): string {
    if (this.lines.length > 0) return "";
    const { find, tag } = arrangementOf(this.model);
    const [, title, why] = this.model.get("filters").find(([each]) => each === tag) ?? ["", "all", ""];
    return find.trim() === "" ? why : `Nothing matches “${find}” among ${title}.`;
  }

  /** Columns were chosen, here or elsewhere. */
  rechoose(): void {
    this.toolbar.showChoice();
    this.order();
  }

  /** Sort by a column; asked again, the other way round; a third time, not at all. */
  private sort(column: Column): void {
    const { sorting } = arrangementOf(this.model);
    const { name, descending } = column;
    if (sorting?.column !== name) arrange(this.model, { sorting: { column: name, descending } });
    else if (sorting.descending === descending) arrange(this.model, { sorting: { column: name, descending: !descending } });
    else arrange(this.model, { sorting: null });
  }

  // What the person does

  /** Go where another view has been scrolled to. */
  scroll(): void {
    this.grid.scrollTop = this.model.get("scroll");
  }

  private onScroll(): void {
    this.model.set("scroll", this.grid.scrollTop);
    this.draw();
    if (this.heatMap && !this.heatMap.scroll(this.grid.scrollTop / ROW, this.bodyHeight / ROW)) this.paint();
  }

  private onClick(event: MouseEvent): void {
    const target = (event.target as HTMLElement).closest<HTMLElement>(".qwl-line");
    if (!target) return;
    const line = this.lines.find((each) => keyOf(each) === target.dataset.line)!;
    if (line.kind === "group") this.fold(line);
    else this.choice(clicked(this.selection, this.names(), line.path, event));
    this.grid.focus({ preventScroll: true });
  }

  private onKey(event: KeyboardEvent): void {
    if (event.target !== this.grid) return; // a button of the header has the key
    const at = this.lines.findIndex((line) => keyOf(line) === this.selection.focus);
    const page = Math.max(Math.floor(this.bodyHeight / ROW) - 1, 1);
    const moves: Record<string, number> = {
      ArrowDown: at + 1,
      ArrowUp: at < 0 ? this.lines.length - 1 : at - 1,
      PageDown: at + page,
      PageUp: at - page,
      Home: 0,
      End: this.lines.length - 1,
    };
    const line = this.lines[at];
    if (event.key in moves) {
      this.moveTo(Math.min(Math.max(moves[event.key], 0), this.lines.length - 1), event);
    } else if (event.key === " " && this.typing.isOver() && line) {
      if (line.kind === "group") this.fold(line);
      else this.choice(toggled(this.selection, line.path));
    } else if ((event.key === "ArrowLeft" || event.key === "ArrowRight") && line?.kind === "group") {
      if (line.folded === (event.key === "ArrowRight")) this.fold(line);
    } else if ((event.key === "ArrowLeft" || event.key === "ArrowRight") && line && this.heatMap) {
      const by = event.key === "ArrowRight" ? 1 : -1;
      this.readBit(besides(this.read, line.path, by, this.heatMap.columns));
    } else if (event.key === "Escape" && this.read) {
      this.readBit(null);
    } else if (event.key === "a" && (event.ctrlKey || event.metaKey)) {
      const names = this.names();
      this.choice({ names, focus: this.selection.focus, anchor: names[0] ?? "" });
    } else if (event.key.length === 1 && !event.ctrlKey && !event.metaKey && !event.altKey) {
      this.type(event.key, at);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  private moveTo(to: number, keys: KeyboardEvent): void {
    const line = this.lines[to];
    if (!line) return;
    if (line.kind === "group" || keys.ctrlKey || keys.metaKey) {
      this.selection = { ...this.selection, focus: keyOf(line) };
      this.reveal();
      this.mark();
    } else if (keys.shiftKey) {
      this.choice(extended(this.selection, this.names(), line.path));
    } else {
      this.choice(only(line.path));
    }
  }

  /** Go to the line that begins with what is typed. */
  private type(key: string, at: number): void {
    const typed = this.typing.add(key);
    const found = lineThatBegins(this.lines, typed, Math.max(at, 0) + (typed.length === 1 ? 1 : 0));
    if (found >= 0 && this.lines[found].kind === "row") this.choice(only(this.lines[found].path));
  }

  /** Read out a bit, and those of the rows that are gone to afterwards. */
  private readBit(bit: Bit | null): void {
    this.read = bit;
    ask(this.model, bit);
    this.paint();
  }

  /** The kernel says what the bit says that was asked about. */
  hear(): void {
    if (this.read) this.spoken.textContent = this.model.get("said");
  }

  /** The bit under the pointer, which is over the heat map; null where there is none. */
  bitAt(event: MouseEvent): Bit | null {
    const { line: at, column } = this.heatMap?.cellAt(event) ?? { line: -1, column: 0 };
    const line = this.lines[at];
    if (!line || (line.kind === "group" && !line.folded)) return null;
    return [this.model.get("rows")[line.row].name, column];
  }

  private choice(selection: Selection): void {
    this.selection = selection;
    if (this.read) this.read = [selection.focus, this.read[1]];
    this.reveal();
    this.mark();
    this.paint();
    this.speak();
    this.model.set("selection", [...selection.names]);
    this.model.save_changes();
    if (this.read) ask(this.model, this.read);
  }

  private fold(line: Line): void {
    this.selection = { ...this.selection, focus: keyOf(line) };
    const { folded } = arrangementOf(this.model);
    arrange(this.model, { folded: line.folded ? folded.filter((path) => path !== line.path) : [...folded, line.path] });
  }

  private names(): string[] {
    return this.lines.filter((line) => line.kind === "row").map((line) => line.path);
  }

  /** Scroll so that the focused line is seen. */
  private reveal(): void {
    const at = this.lines.findIndex((line) => keyOf(line) === this.selection.focus);
    if (at < 0) return;
    const height = this.grid.clientHeight - HEADER || this.bodyHeight;
    if (at * ROW < this.grid.scrollTop) this.grid.scrollTop = at * ROW;
    else if ((at + 1) * ROW > this.grid.scrollTop + height) this.grid.scrollTop = (at + 1) * ROW - height;
    this.draw();
  }

  /** Say what the focused row says. */
  private speak(): void {
    const row = this.model.get("rows").find((each) => each.name === this.selection.focus);
    if (!row) return;
    this.spoken.textContent = inWords(row, shownColumns(this.model));
  }
}

interface Patch {
  rows: [number, Row][];
  /** Whose pixels the buffer has, one line after the other. */
  strips: number[];
}

export default {
  /** Take over what the kernel sends of single rows, for all views of the model. */
  initialize({ model }: { model: AnyModel<State> }): void {
    model.on("msg:custom", (patch: Patch, buffers: DataView[]) => {
      const rows = model.get("rows");
      for (const [index, row] of patch.rows) rows[index] = row;
      const width = model.get("strip_width");
      const strips = model.get("strips");
      patch.strips.forEach((index, place) => {
        const from = new Uint8Array(buffers[0].buffer, buffers[0].byteOffset + place * width, width);
        new Uint8Array(strips.buffer, strips.byteOffset + index * width, width).set(from);
      });
    });
  },

  render({ model, el }: RenderProps<State>): () => void {
    const list = new RowList(model as AnyModel<State>, el);
    void list.follow();
    const ends = [nameSliders(el), readUnderPointer(el, (event) => list.bitAt(event), model as AnyModel<State>)];
    const onPatch = (patch: Patch): void => list.patch(patch);
    const onRows = (): void => list.order();
    const onScroll = (): void => list.scroll();
    const onSelection = (): void => list.select(model.get("selection"));
    const onShown = (): void => list.rechoose();
    const onHeight = (): void => list.resize();
    const onSaid = (): void => list.hear();
    const events: [string, (...given: any[]) => void][] = [
      ["msg:custom", onPatch],
      ["change:rows", onRows],
      ["change:strips", onRows],
      ["change:arrangement", onRows],
      ["change:scroll", onScroll],
      ["change:selection", onSelection],
      ["change:shown", onShown],
      ["change:height", onHeight],
      ["change:said", onSaid],
    ];
    for (const [event, callback] of events) model.on(event as "change:rows", callback);
    return () => {
      ends.forEach((end) => end());
      events.forEach(([event, callback]) => model.off(event as "change:rows", callback));
    };
  },
};
