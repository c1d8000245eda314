import assert from "node:assert/strict";
import { test } from "node:test";
import { linesOf, lineThatBegins, worst, type Row, type View } from "../src/order";

const row = (name: string, sqnr_db: number | null, tags: string[] = [], marks: Row["marks"] = {}): Row => ({
  name,
  layer: name.replace(/\.(weight|bias)$/, ""),
  cells: { sqnr_db, fused: "" },
  marks,
  tags,
});
const ROWS = [
  row("input", 50),
  row("stem.weight", 40),
  row("stem", 30, ["problems"], { sqnr_db: "notable" }),
  row("blocks.0.dw.weight", 12, ["problems"], { sqnr_db: "severe" }),
  row("blocks.0.dw", 44),
  row("blocks.1.dw", null),
  row("classifier", 20),
];
const PLAIN: View = { find: "", tag: "", sorting: null, grouped: false, folded: new Set() };
const names = (view: Partial<View>): string[] =>
  linesOf(ROWS, { ...PLAIN, ...view }).map((line) => (line.kind === "group" ? `[${line.label}]` : line.label));

test("plain, the rows stand in the network's order", () => {
  assert.deepEqual(names({}), ROWS.map((each) => each.name));
});

test("sorted, what is not known stands last, both ways", () => {
  const up = names({ sorting: { column: "sqnr_db", descending: false } });
  const down = names({ sorting: { column: "sqnr_db", descending: true } });
  assert.equal(up[0], "blocks.0.dw.weight");
  assert.equal(down[0], "input");
  assert.equal(up.at(-1), "blocks.1.dw");
  assert.equal(down.at(-1), "blocks.1.dw");
});

test("a text and a tag leave the rows that have both", () => {
  assert.deepEqual(names({ find: "DW" }), ["blocks.0.dw.weight", "blocks.0.dw", "blocks.1.dw"]);
  assert.deepEqual(names({ find: "dw", tag: "problems" }), ["blocks.0.dw.weight"]);
  assert.deepEqual(names({ find: "nowhere" }), []);
});

test("grouped, modules hold the tensors of their layers", () => {
  assert.deepEqual(names({ grouped: true }), [
    "input",
    "stem.weight",
    "stem",
    "[blocks]",
    "[0]",
    "dw.weight",
    "dw",
    "[1]",
    "dw",
    "classifier",
  ]);
});

test("a module that only holds another is named with it", () => {
  const rows = [row("body.blocks.0.conv", 1), row("body.blocks.1.conv", 2), row("head", 3)];
  assert.deepEqual(
    linesOf(rows, { ...PLAIN, grouped: true }).map((line) => line.label),
    ["body.blocks", "0", "conv", "1", "conv", "head"],
  );
});

test("folded, a group is one line, and shows its worst row", () => {
  const lines = linesOf(ROWS, { ...PLAIN, grouped: true, folded: new Set(["blocks"]) });
  const group = lines.find((line) => line.path === "blocks")!;
  assert.equal(group.count, 3);
  assert.equal(ROWS[group.row].name, "blocks.0.dw.weight");
  assert.deepEqual(lines.map((line) => line.label), ["input", "stem.weight", "stem", "blocks", "classifier"]);
});

test("groups are sorted by the row of theirs that would stand first", () => {
  const lines = names({ grouped: true, sorting: { column: "sqnr_db", descending: false } });
  assert.deepEqual(lines.slice(0, 4), ["[blocks]", "[0]", "dw.weight", "dw"]);
});

test("the worst row has the worst mark, then the lowest SQNR", () => {
  assert.equal(worst([0, 1, 2, 3, 4], ROWS), 3);
  assert.equal(worst([0, 1, 4], ROWS), 1);
});

test("what is typed ahead finds the next line that begins so", () => {
  const lines = linesOf(ROWS, PLAIN);
  assert.equal(lines[lineThatBegins(lines, "blocks", 0)].path, "blocks.0.dw.weight");
  assert.equal(lines[lineThatBegins(lines, "blocks", 4)].path, "blocks.0.dw");
  assert.equal(lineThatBegins(lines, "nowhere", 0), -1);
});
