/** The header and the lines of the list as elements. */
import { element } from "./elements";
import type { Line, Row, Sorting, Value } from "./order";
import type { Column } from "./state";

export const ROW = 22;

const formats = new Map<string, Intl.NumberFormat>();

export function keyOf(line: Line): string {
  return line.kind === "group" ? `group:${line.path}` : line.path;
}

export function written(column: Column, value: Value): string {
  if (value === null) return "";
  if (typeof value === "string" || column.format === null) return String(value);
  const key = JSON.stringify(column.format);
  if (!formats.has(key)) formats.set(key, new Intl.NumberFormat("en", column.format));
  return formats.get(key)!.format(value);
}

export function headerCell(column: Column, place: number, sorting: Sorting | null, onSort: () => void): HTMLElement {
  const descending = sorting?.column === column.name ? sorting.descending : null;
  const cell = element("div", place === 0 ? "qwl-cell qwl-name" : `qwl-cell ${column.format === null ? "" : "qwl-number"}`, {
    role: "columnheader",
    "data-column": column.name,
    title: column.about,
    "aria-sort": descending === null ? "none" : descending ? "descending" : "ascending",
  });
  if (place > 0) cell.style.width = `${column.width}px`;
  const button = element("button", "", { type: "button" });
  const arrow = descending === null ? "" : descending ? " ▼" : " ▲";
  button.textContent = `${column.title}${column.unit ? ` ${column.unit}` : ""}${arrow}`;
  button.addEventListener("click", onSort);
  cell.append(button);
  return cell;
}

/** Make a line at its place; `id` is unique in the page. */
export function lineElement(line: Line, row: Row, at: number, columns: readonly Column[], id: string): HTMLElement {
  const made = element("div", line.kind === "group" ? "qwl-line qwl-group" : "qwl-line", {
    role: "row",
    id,
    "aria-rowindex": String(at + 2),
    "aria-level": String(line.depth + 1),
    "data-line": keyOf(line),
  });
  if (line.kind === "row") made.dataset.tensor = row.name;
  else made.setAttribute("aria-expanded", String(!line.folded));
  made.style.transform = `translateY(${at * ROW}px)`;
  made.append(nameCell(line, row));
  const empty = line.kind === "group" && !line.folded;
  for (const column of columns.slice(1)) {
    made.append(dataCell(column, empty ? null : (row.cells[column.name] ?? null), empty ? "" : (row.marks[column.name] ?? "")));
  }
  return made;
}

function nameCell(line: Line, row: Row): HTMLElement {
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

function dataCell(column: Column, value: Value, mark: string): HTMLElement {
  const classes = `qwl-cell ${column.format === null ? "" : "qwl-number"} ${mark}`.trim();
  const cell = element("div", classes, { role: "gridcell", "data-column": column.name });
  cell.style.width = `${column.width}px`;
  const text = written(column, value);
  cell.textContent = mark === "severe" ? `${text} !` : text;
  cell.title = text;
  return cell;
}

/** What a row says, for a screen reader. */
export function inWords(row: Row, columns: readonly Column[]): string {
  const cells = columns.slice(1).map((column) => [column, written(column, row.cells[column.name] ?? null)] as const);
  const words = cells.filter(([, text]) => text !== "").map(([{ title, unit }, text]) => `${title} ${text}${unit ? ` ${unit}` : ""}`);
  return [row.name, ...words].join(", ");
}
