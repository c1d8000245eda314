/** The list of tensors: a tree grid of which only the lines that are seen are in the page.
 *
 * What it shows comes from the kernel; finding, sorting, grouping, folding, scrolling and choosing columns are done here,
 * also where no kernel runs. A heat map of bqplot's that is given follows it line by line.
 */
import type { AnyModel, RenderProps } from "@anywidget/types";
import { HeatMap, type Model } from "./heat_map";
import { linesOf, lineThatBegins, type Line, type Row, type Sorting, type Value } from "./order";
import { nameSliders } from "./slider_names";
import { clicked, extended, only, toggled, type Selection } from "./selection";

interface Column {
  name: string;
  title: string;
  unit: string;
  about: string;
  width: number;
  /** How numbers are written, as for Intl.NumberFormat; null for text. */
  format: Intl.NumberFormatOptions | null;
  /** Whether the first click on the header sorts downwards. */
  descending: boolean;
}

interface State {
  columns: Column[];
  rows: Row[];
  /** What the list can be filtered by: a tag of rows, its title, and what is said where no row has it. */
  filters: [string, string, string][];
  selection: string[];
  order: string[];
  shown: string[];
  height: number;
  strips: DataView;
  strip_width: number;
  palette: number[];
  picture: string | null;
  mark: string | null;
  scale: string | null;
}

const ROW = 22;
const HEADER = 28;
const BEYOND = 10; // lines that are in the page above and below those that are seen
const TYPING_MS = 800;
const REMEMBERED = "qwidgets:columns";

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
  private readonly count = element("span", "qwl-count", { role: "status", "aria-live": "polite" });
  private readonly spoken = element("div", "qwl-spoken", { role: "status", "aria-live": "polite" });
  private readonly empty = element("div", "qwl-empty");
  private readonly find = element("input", "", { type: "search", placeholder: "find a tensor or a layer", "aria-label": "find" });
  private readonly filter = element("select", "", { "aria-label": "show" });
  private readonly grouping = element("select", "", { "aria-label": "rows by" });
  private readonly chooser = element("details", "qwl-chooser");

  private lines: Line[] = [];
  private elements = new Map<string, HTMLElement>();
  private sorting: Sorting | null = null;
  private folded = new Set<string>();
  private selection: Selection;
  private typed = "";
  private typedAt = 0;
  private heatMap: HeatMap | null = null;
  private readonly formats = new Map<string, Intl.NumberFormat>();
  private readonly id = `qwl-${Math.random().toString(36).slice(2)}`;

  constructor(
    private readonly model: AnyModel<State>,
    root: HTMLElement,
  ) {
    const names = model.get("selection");
    this.selection = { names, focus: names[0] ?? "", anchor: names[0] ?? "" };
    root.classList.add("qwl");
    root.append(this.toolbar(), this.grid, this.empty, this.spoken);
    this.grid.append(this.header, this.body);
    this.grid.addEventListener("scroll", () => this.onScroll(), { passive: true });
    this.grid.addEventListener("keydown", (event) => this.onKey(event));
    this.body.addEventListener("click", (event) => this.onClick(event));
    this.resize();
    this.recall();
    this.fillFilters();
    this.fillHeader();
    this.order();
  }

  // What the kernel says

  /** Take over rows that have changed. */
  patch(patch: Patch): void {
    const orderDepends = this.sorting !== null || this.filter.value !== "" || this.grouping.value !== "";
    if (patch.rows.length > 0 && orderDepends) this.order();
    for (const [, row] of patch.rows) {
      this.elements.get(row.name)?.remove();
      this.elements.delete(row.name);
    }
    this.draw();
    if (patch.strips.length > 0) this.paint();
  }

  /** Take over all rows anew. */
  refresh(): void {
    this.order();
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

  private order(): void {
    const rows = this.model.get("rows");
    this.lines = linesOf(rows, {
      find: this.find.value,
      tag: this.filter.value,
      sorting: this.sorting,
      grouped: this.grouping.value === "module",
      folded: this.folded,
    });
    if (!this.lines.some((line) => keyOf(line) === this.selection.focus)) {
      this.selection = { ...this.selection, focus: this.selection.names[0] ?? "" };
    }
    const kept = new Set(this.lines.filter((line) => line.kind === "row").map((line) => line.path)).size;
    const grouped = this.lines.reduce((sum, line) => sum + (line.kind === "row" ? 1 : line.folded ? line.count : 0), 0);
    const shown = this.grouping.value === "module" ? grouped : kept;
    this.count.textContent = shown === rows.length ? `${rows.length} tensors` : `${shown} of ${rows.length} tensors`;
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

  /** Put the lines that are seen into the page, and take the others out. */
  private draw(): void {
    const first = Math.max(Math.floor(this.grid.scrollTop / ROW) - BEYOND, 0);
    const last = Math.min(Math.ceil((this.grid.scrollTop + this.bodyHeight) / ROW) + BEYOND, this.lines.length);
    const wanted = new Set<string>();
    for (let at = first; at < last; at++) {
      const key = keyOf(this.lines[at]);
      wanted.add(key);
      if (!this.elements.has(key)) {
        const made = this.lineElement(this.lines[at], at);
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
      new Set(this.selection.names),
      {
        pixels: new Uint8Array(strips.buffer, strips.byteOffset, strips.byteLength),
        width: this.model.get("strip_width"),
        palette: Uint8Array.from(this.model.get("palette")),
      },
      this.grid.scrollTop / ROW,
      this.bodyHeight / ROW,
    );
  }

  /** The height of the lines' place, a horizontal scroll bar counted in, which the heat map does not have. */
  private get bodyHeight(): number {
    return this.model.get("height") - HEADER;
  }

  private lineElement(line: Line, at: number): HTMLElement {
    const row = this.model.get("rows")[line.row];
    const made = element("div", line.kind === "group" ? "qwl-line qwl-group" : "qwl-line", {
      role: "row",
      id: `${this.id}-${keyOf(line)}`,
      "aria-rowindex": String(at + 2),
      "aria-level": String(line.depth + 1),
      "data-line": keyOf(line),
    });
    if (line.kind === "row") made.dataset.tensor = row.name;
    else made.setAttribute("aria-expanded", String(!line.folded));
    made.style.transform = `translateY(${at * ROW}px)`;
    const columns = this.shownColumns();
    made.append(this.nameCell(line, row));
    for (const column of columns.slice(1)) {
      const empty = line.kind === "group" && !line.folded;
      made.append(this.cell(column, empty ? null : (row.cells[column.name] ?? null), empty ? "" : (row.marks[column.name] ?? "")));
    }
    return made;
  }

  private nameCell(line: Line, row: Row): HTMLElement {
    const cell = element("div", "qwl-cell qwl-name", { role: "rowheader" });
    cell.style.paddingLeft = `${8 + 14 * line.depth}px`;
    cell.title = line.kind === "group" ? `${line.path}: ${line.count} tensors, the worst is ${row.name}` : row.name;
    if (line.kind === "group") {
      const fold = element("span", "qwl-fold", { "aria-hidden": "true" });
      fold.textContent = line.folded ? "▸" : "▾";
      cell.append(fold);
    }
    // Cut at its beginning: its end tells tensors apart. The marks keep "conv.weight" from being turned around.
    const text = element("span", "qwl-text");
    text.textContent = `\u200e${line.label}${line.kind === "group" ? ` (${line.count})` : ""}\u200e`;
    cell.append(text);
    return cell;
  }

  private cell(column: Column, value: Value, mark: string): HTMLElement {
    const cell = element("div", `qwl-cell ${column.format === null ? "" : "qwl-number"} ${mark}`.trim(), { role: "gridcell", "data-column": column.name });
    cell.style.width = `${column.width}px`;
    const text = this.written(column, value);
    cell.textContent = mark === "severe" ? `${text} !` : text;
    cell.title = text;
    return cell;
  }

  private written(column: Column, value: Value): string {
    if (value === null) return "";
    if (typeof value === "string" || column.format === null) return String(value);
    if (!this.formats.has(column.name)) this.formats.set(column.name, new Intl.NumberFormat("en", column.format));
    return this.formats.get(column.name)!.format(value);
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
    const [, title, why] = this.model.get("filters").find(([tag]) => tag === this.filter.value) ?? ["", "all", ""];
    return this.find.value.trim() === "" ? why : `Nothing matches “${this.find.value}” among ${title}.`;
  }

  // The head

  private toolbar(): HTMLElement {
    const bar = element("div", "qwl-toolbar");
    for (const [value, title] of [["", "network"], ["module", "module"]]) this.grouping.append(new Option(title, value));
    this.find.addEventListener("input", () => this.order());
    this.filter.addEventListener("change", () => this.order());
    this.grouping.addEventListener("change", () => this.order());
    this.find.setAttribute("data-lm-suppress-shortcuts", "true");
    bar.append(this.find, labelled("show", this.filter), labelled("rows by", this.grouping), this.chooser, this.count);
    return bar;
  }

  private fillFilters(): void {
    this.filter.replaceChildren(...this.model.get("filters").map(([tag, title]) => new Option(title, tag)));
  }

  private shownColumns(): Column[] {
    const shown = new Set(this.model.get("shown"));
    return this.model.get("columns").filter((column, place) => place === 0 || shown.has(column.name));
  }

  private fillHeader(): void {
    const cells = this.shownColumns().map((column, place) => {
      const cell = element("div", place === 0 ? "qwl-cell qwl-name" : `qwl-cell ${column.format === null ? "" : "qwl-number"}`, {
        role: "columnheader",
        "data-column": column.name,
        title: column.about,
        "aria-sort": this.sorting?.column !== column.name ? "none" : this.sorting.descending ? "descending" : "ascending",
      });
      if (place > 0) cell.style.width = `${column.width}px`;
      const button = element("button", "", { type: "button", tabindex: "-1" });
      const arrow = this.sorting?.column !== column.name ? "" : this.sorting.descending ? " ▼" : " ▲";
      button.textContent = `${column.title}${column.unit ? ` ${column.unit}` : ""}${arrow}`;
      button.addEventListener("click", () => this.sort(column));
      cell.append(button);
      return cell;
    });
    this.header.replaceChildren(...cells);
    this.header.setAttribute("aria-rowindex", "1");
    this.fillChooser();
  }

  private fillChooser(): void {
    const summary = element("summary", "", { "aria-label": "choose columns" });
    summary.textContent = "columns";
    const list = element("div", "qwl-columns");
    for (const column of this.model.get("columns").slice(1)) {
      const box = element("input", "", { type: "checkbox" });
      box.checked = this.model.get("shown").includes(column.name);
      box.addEventListener("change", () => this.choose(column.name, box.checked));
      const label = element("label", "");
      label.append(box, ` ${column.title}`);
      list.append(label);
    }
    this.chooser.replaceChildren(summary, list);
  }

  private choose(name: string, shown: boolean): void {
    const names = new Set(this.model.get("shown"));
    if (shown) names.add(name);
    else names.delete(name);
    this.show(names);
    try {
      localStorage.setItem(REMEMBERED, JSON.stringify(this.model.get("shown")));
    } catch {
      // A page may not be allowed to remember anything; the columns then last as long as it does.
    }
  }

  /** Show the columns that the person chose the last time, in whichever notebook that was. */
  private recall(): void {
    try {
      const names = JSON.parse(localStorage.getItem(REMEMBERED) ?? "null");
      if (Array.isArray(names)) this.show(new Set(names));
    } catch {
      // as above
    }
  }

  private show(names: ReadonlySet<string>): void {
    const known = this.model.get("columns").map((column) => column.name);
    const shown = known.filter((each) => names.has(each));
    if (same(shown, this.model.get("shown"))) return;
    this.model.set("shown", shown);
    this.model.save_changes();
  }

  /** Columns were chosen, here or elsewhere. */
  rechoose(): void {
    const open = this.chooser.open;
    this.fillHeader();
    this.chooser.open = open;
    this.order();
  }

  /** Sort by a column; asked again, the other way round; a third time, not at all. */
  private sort(column: Column): void {
    if (this.sorting?.column !== column.name) this.sorting = { column: column.name, descending: column.descending };
    else if (this.sorting.descending === column.descending) this.sorting = { column: column.name, descending: !column.descending };
    else this.sorting = null;
    this.fillHeader();
    this.order();
  }

  // What the person does

  private onScroll(): void {
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
    } else if (event.key === " " && this.typed === "" && line) {
      if (line.kind === "group") this.fold(line);
      else this.choice(toggled(this.selection, line.path));
    } else if ((event.key === "ArrowLeft" || event.key === "ArrowRight") && line?.kind === "group") {
      if (line.folded === (event.key === "ArrowRight")) this.fold(line);
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
    const now = performance.now();
    this.typed = now - this.typedAt < TYPING_MS ? this.typed + key : key;
    this.typedAt = now;
    setTimeout(() => {
      if (performance.now() - this.typedAt >= TYPING_MS) this.typed = "";
    }, TYPING_MS + 1);
    const found = lineThatBegins(this.lines, this.typed, Math.max(at, 0) + (this.typed.length === 1 ? 1 : 0));
    if (found < 0) return;
    if (this.lines[found].kind === "row") this.choice(only(this.lines[found].path));
  }

  private choice(selection: Selection): void {
    this.selection = selection;
    this.reveal();
    this.mark();
    this.paint();
    this.speak();
    this.model.set("selection", [...selection.names]);
    this.model.save_changes();
  }

  private fold(line: Line): void {
    if (!this.folded.delete(line.path)) this.folded.add(line.path);
    this.selection = { ...this.selection, focus: keyOf(line) };
    this.order();
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
    const cells = this.shownColumns().slice(1);
    const said = cells.map((column) => [column, this.written(column, row.cells[column.name] ?? null)] as const);
    const words = said.filter(([, text]) => text !== "").map(([column, text]) => `${column.title} ${text}${column.unit ? ` ${column.unit}` : ""}`);
    this.spoken.textContent = [row.name, ...words].join(", ");
  }
}

function keyOf(line: Line): string {
  return line.kind === "group" ? `group:${line.path}` : line.path;
}

function same(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((each, place) => each === b[place]);
}

function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  className: string,
  attributes: Record<string, string> = {},
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  if (className) made.className = className;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function labelled(text: string, control: HTMLElement): HTMLElement {
  const label = element("label", "");
  label.append(`${text} `, control);
  return label;
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
    const unwatch = nameSliders(el);
    const onPatch = (patch: Patch): void => list.patch(patch);
    const onRows = (): void => list.refresh();
    const onSelection = (): void => list.select(model.get("selection"));
    const onShown = (): void => list.rechoose();
    const onHeight = (): void => list.resize();
    const events: [string, (...given: any[]) => void][] = [
      ["msg:custom", onPatch],
      ["change:rows", onRows],
      ["change:strips", onRows],
      ["change:selection", onSelection],
      ["change:shown", onShown],
      ["change:height", onHeight],
    ];
    for (const [event, callback] of events) model.on(event as "change:rows", callback);
    return () => {
      unwatch();
      events.forEach(([event, callback]) => model.off(event as "change:rows", callback));
    };
  },
};
