/** Which lines a list of tensors has, in which order: filtered, sorted, grouped by module and folded. Pure functions. */

export type Value = number | string | null;

/** A tensor: what its cells say, how bad that is, what it can be filtered by, and where it stands in the network. */
export interface Row {
  name: string;
  layer: string;
  cells: Record<string, Value>;
  marks: Record<string, "notable" | "severe">;
  tags: string[];
}

export interface Sorting {
  column: string;
  descending: boolean;
}

export interface View {
  find: string;
  tag: string;
  sorting: Sorting | null;
  grouped: boolean;
  folded: ReadonlySet<string>;
}

/** A line: a tensor, or a module with how many tensors it has; `row` is then the worst of them. */
export interface Line {
  kind: "row" | "group";
  row: number;
  depth: number;
  path: string;
  label: string;
  count: number;
  folded: boolean;
}

interface Group {
  path: string;
  label: string;
  groups: Map<string, Group>;
  rows: number[];
}

const SEVERITY = { severe: 2, notable: 1 };

/** Give the lines of a view of rows. */
export function linesOf(rows: readonly Row[], view: View): Line[] {
  const kept = rows.map((_, index) => index).filter((index) => isKept(rows[index], view));
  if (!view.grouped) {
    return sorted(kept, (index) => index, rows, view.sorting).map((row) => lineOf(rows, row, 0, rows[row].name));
  }
  const root: Group = { path: "", label: "", groups: new Map(), rows: [] };
  for (const index of kept) place(root, rows[index], index);
  return unfolded(root, rows, view, 0);
}

/** Whether a row has the text in its name, its layer or what is fused into it, and the tag. */
function isKept(row: Row, view: View): boolean {
  if (view.tag !== "" && !row.tags.includes(view.tag)) return false;
  const text = view.find.trim().toLowerCase();
  if (text === "") return true;
  return [row.name, row.layer, row.cells.fused].some((part) => String(part ?? "").toLowerCase().includes(text));
}

/** Put a row into the group of the module that its layer is in. */
function place(root: Group, row: Row, index: number): void {
  let group = root;
  const parts = row.layer.split(".").slice(0, -1);
  parts.forEach((label, depth) => {
    const path = parts.slice(0, depth + 1).join(".");
    if (!group.groups.has(label)) group.groups.set(label, { path, label, groups: new Map(), rows: [] });
    group = group.groups.get(label)!;
  });
  group.rows.push(index);
}

/** Give the lines of a group's members; a module that only holds one other is named together with it. */
function unfolded(group: Group, rows: readonly Row[], view: View, depth: number): Line[] {
  const members: (number | Group)[] = [...group.rows, ...[...group.groups.values()].map(joined)];
  const first = (member: number | Group): number => (typeof member === "number" ? member : Math.min(...all(member)));
  members.sort((a, b) => first(a) - first(b));
  const shown = sorted(members, (m) => (typeof m === "number" ? m : extreme(m, rows, view.sorting)), rows, view.sorting);
  return shown.flatMap((member) => {
    if (typeof member === "number") {
      return [lineOf(rows, member, depth, without(group.path, rows[member].name))];
    }
    const folded = view.folded.has(member.path);
    const inside = all(member);
    const line: Line = {
      kind: "group",
      row: worst(inside, rows),
      depth,
      path: member.path,
      label: without(group.path, member.path),
      count: inside.length,
      folded,
    };
    return folded ? [line] : [line, ...unfolded(member, rows, view, depth + 1)];
  });
}

function without(path: string, name: string): string {
  return path !== "" && name.startsWith(`${path}.`) ? name.slice(path.length + 1) : name;
}

function joined(group: Group): Group {
  let inner = group;
  while (inner.rows.length === 0 && inner.groups.size === 1) inner = [...inner.groups.values()][0];
  return inner;
}

function all(group: Group): number[] {
  return [...group.rows, ...[...group.groups.values()].flatMap(all)];
}

/** The row that deserves attention most: the most and the worst marks, then the lowest SQNR, then the first. */
export function worst(indices: readonly number[], rows: readonly Row[]): number {
  const badness = (index: number): number =>
    Object.values(rows[index].marks).reduce((sum, mark) => Math.max(sum, SEVERITY[mark]), 0);
  const sqnr = (index: number): number => {
    const value = rows[index].cells.sqnr_db;
    return typeof value === "number" ? value : Infinity;
  };
  return indices.reduce((found, index) => {
    const more = badness(index) - badness(found);
    return more > 0 || (more === 0 && sqnr(index) < sqnr(found)) ? index : found;
  });
}

/** Of a group, the row that would stand first. */
function extreme(group: Group, rows: readonly Row[], sorting: Sorting | null): number {
  const inside = all(group).sort((a, b) => a - b);
  return sorted(inside, (index) => index, rows, sorting)[0];
}

function sorted<T>(items: T[], rowOf: (item: T) => number, rows: readonly Row[], sorting: Sorting | null): T[] {
  if (sorting === null) return items;
  const keyed = items.map((item) => ({ item, value: rows[rowOf(item)].cells[sorting.column] ?? null }));
  keyed.sort((a, b) => compared(a.value, b.value, sorting.descending)); // stable: else the network's order
  return keyed.map(({ item }) => item);
}

/** What is not known stands last, whichever way it is sorted. */
function compared(a: Value, b: Value, descending: boolean): number {
  if (a === null || b === null) return Number(a === null) - Number(b === null);
  const [x, y] = [numberOf(a), numberOf(b)];
  const order = x !== null && y !== null ? Number(x > y) - Number(x < y) : String(a).localeCompare(String(b), "en", { numeric: true });
  return descending ? -order : order;
}

/** JSON knows no infinity: it comes as it is written. */
function numberOf(value: number | string): number | null {
  if (typeof value === "number") return value;
  return value === "∞" ? Infinity : value === "−∞" ? -Infinity : null;
}

function lineOf(rows: readonly Row[], row: number, depth: number, label: string): Line {
  return { kind: "row", row, depth, path: rows[row].name, label, count: 1, folded: false };
}

/** The next line, after one, whose label or name begins with a text; the line itself counts if the text grows. */
export function lineThatBegins(lines: readonly Line[], text: string, from: number): number {
  const wanted = text.toLowerCase();
  for (let step = 0; step < lines.length; step++) {
    const at = (from + step) % lines.length;
    if ([lines[at].label, lines[at].path].some((name) => name.toLowerCase().startsWith(wanted))) return at;
  }
  return -1;
}
