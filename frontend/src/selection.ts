/** Which rows are selected after a click or a key. Pure functions over the names of the rows as they lie on the screen. */

export interface Selection {
  names: readonly string[];
  /** Where the keys are. */
  focus: string;
  /** Where a range begins that Shift extends. */
  anchor: string;
}

/** One row, and nothing else. */
export function only(name: string): Selection {
  return { names: [name], focus: name, anchor: name };
}

/** One more row, or one less. */
export function toggled(selection: Selection, name: string): Selection {
  const without = selection.names.filter((each) => each !== name);
  const names = without.length < selection.names.length ? without : [...selection.names, name];
  return { names, focus: name, anchor: name };
}

/** All rows between where the range begins and a row. */
export function extended(selection: Selection, order: readonly string[], name: string): Selection {
  const from = order.indexOf(selection.anchor);
  const to = order.indexOf(name);
  if (from < 0 || to < 0) return only(name);
  const range = order.slice(Math.min(from, to), Math.max(from, to) + 1);
  return { names: from <= to ? range : range.reverse(), focus: name, anchor: selection.anchor };
}

/** What a click on a row does. */
export function clicked(
  selection: Selection,
  order: readonly string[],
  name: string,
  keys: { shiftKey: boolean; ctrlKey: boolean; metaKey: boolean },
): Selection {
  if (keys.shiftKey) return extended(selection, order, name);
  return keys.ctrlKey || keys.metaKey ? toggled(selection, name) : only(name);
}
