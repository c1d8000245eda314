import assert from "node:assert/strict";
import { test } from "node:test";
import { clicked, extended, only, toggled } from "../src/selection";

const ORDER = ["a", "b", "c", "d"];
const PLAIN = { shiftKey: false, ctrlKey: false, metaKey: false };

test("a click selects one row", () => {
  assert.deepEqual(clicked(toggled(only("a"), "b"), ORDER, "c", PLAIN).names, ["c"]);
});

test("a click with Ctrl adds a row and takes it away again", () => {
  const two = clicked(only("a"), ORDER, "c", { ...PLAIN, ctrlKey: true });
  assert.deepEqual(two.names, ["a", "c"]);
  assert.deepEqual(clicked(two, ORDER, "a", { ...PLAIN, metaKey: true }).names, ["c"]);
});

test("a click with Shift selects what lies between, whichever way, the first clicked first", () => {
  const down = clicked(only("b"), ORDER, "d", { ...PLAIN, shiftKey: true });
  assert.deepEqual(down.names, ["b", "c", "d"]);
  assert.deepEqual(clicked(down, ORDER, "a", { ...PLAIN, shiftKey: true }).names, ["b", "a"]);
});

test("where the range began and is no longer seen, one row is selected", () => {
  assert.deepEqual(extended(only("gone"), ORDER, "c").names, ["c"]);
});
