/** What the kernel and the views of a list share. */
import type { AnyModel } from "@anywidget/types";
import type { Row, Sorting } from "./order";

export interface Column {
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

/** How rows are searched, filtered, sorted, grouped and folded: the same in all views, since they share one heat map. */
export interface Arrangement {
  find: string;
  tag: string;
  sorting: Sorting | null;
  grouped: boolean;
  folded: string[];
}

const AS_IN_THE_NETWORK: Arrangement = { find: "", tag: "", sorting: null, grouped: false, folded: [] };

/** A cell of the heat map: a tensor, and which column counted from the left. */
export type Bit = [name: string, column: number];

export interface State {
  columns: Column[];
  rows: Row[];
  /** What the list can be filtered by: a tag of rows, its title, and what is said where no row has it. */
  filters: [string, string, string][];
  arrangement: Partial<Arrangement>;
  selection: string[];
  order: string[];
  /** The bit that is pointed at. */
  asked: Bit | null;
  /** What it says. */
  said: string;
  shown: string[];
  height: number;
  /** How far all views are scrolled, in pixels; the kernel is not told. */
  scroll: number;
  strips: DataView;
  strip_width: number;
  palette: number[];
  picture: string | null;
  mark: string | null;
  scale: string | null;
}

export function arrangementOf(model: AnyModel<State>): Arrangement {
  return { ...AS_IN_THE_NETWORK, ...model.get("arrangement") };
}

/** Arrange the rows in another way, in all views. */
export function arrange(model: AnyModel<State>, change: Partial<Arrangement>): void {
  model.set("arrangement", { ...arrangementOf(model), ...change });
  model.save_changes();
}

/** Give the columns that are shown; the first, which names the row, always is. */
export function shownColumns(model: AnyModel<State>): Column[] {
  const shown = new Set(model.get("shown"));
  return model.get("columns").filter((column, place) => place === 0 || shown.has(column.name));
}
