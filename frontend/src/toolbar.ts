/** What stands above the list: finding, filtering, grouping, and which columns are shown. */
import type { AnyModel } from "@anywidget/types";
import { element, labelled, same } from "./elements";
import { arrange, arrangementOf, type State } from "./state";

const REMEMBERED = "qwidgets:columns";

export class Toolbar {
  readonly bar = element("div", "qwl-toolbar");
  private readonly count = element("span", "qwl-count", { role: "status", "aria-live": "polite" });
  private readonly find = element("input", "", {
    type: "search",
    placeholder: "find a tensor or a layer",
    "aria-label": "find",
    "data-lm-suppress-shortcuts": "true",
  });
  private readonly filter = element("select", "", { "aria-label": "show" });
  private readonly grouping = element("select", "", { "aria-label": "rows by" });
  private readonly chooser = element("details", "qwl-chooser");

  constructor(private readonly model: AnyModel<State>) {
    this.filter.append(...model.get("filters").map(([tag, title]) => new Option(title, tag)));
    for (const [value, title] of [["", "network"], ["module", "module"]]) this.grouping.append(new Option(title, value));
    this.find.addEventListener("input", () => arrange(model, { find: this.find.value }));
    this.filter.addEventListener("change", () => arrange(model, { tag: this.filter.value }));
    this.grouping.addEventListener("change", () => arrange(model, { grouped: this.grouping.value === "module" }));
    this.bar.append(this.find, labelled("show", this.filter), labelled("rows by", this.grouping), this.chooser, this.count);
    this.recall();
    this.showChoice();
  }

  /** Show how rows are arranged, and how many of them are listed. */
  show(listed: number): void {
    const { find, tag, grouped } = arrangementOf(this.model);
    if (this.find.value !== find) this.find.value = find;
    this.filter.value = tag;
    this.grouping.value = grouped ? "module" : "";
    const all = this.model.get("rows").length;
    this.count.textContent = listed === all ? `${all} tensors` : `${listed} of ${all} tensors`;
  }

  /** Show which columns are chosen. */
  showChoice(): void {
    const open = this.chooser.open;
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
    this.chooser.open = open;
  }

  private choose(name: string, shown: boolean): void {
    const names = new Set(this.model.get("shown"));
    if (shown) names.add(name);
    else names.delete(name);
    this.showColumns(names);
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
      if (Array.isArray(names)) this.showColumns(new Set(names));
    } catch {
      // as above
    }
  }

  private showColumns(names: ReadonlySet<string>): void {
    const known = this.model.get("columns").map((column) => column.name);
    const shown = known.filter((each) => names.has(each));
    if (same(shown, this.model.get("shown"))) return;
    this.model.set("shown", shown);
    this.model.save_changes();
  }
}
