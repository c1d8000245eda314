import assert from "node:assert/strict";
import { test } from "node:test";
import { besides } from "../src/reading";

test("keys read a row's bits from the left, and end at the last", () => {
  assert.deepEqual(besides(null, "a", 1, 3), ["a", 0]);
  assert.deepEqual(besides(["a", 0], "a", 1, 3), ["a", 1]);
  assert.deepEqual(besides(["a", 2], "b", 1, 3), ["b", 2]);
  assert.deepEqual(besides(["a", 0], "a", -1, 3), ["a", 0]);
});
