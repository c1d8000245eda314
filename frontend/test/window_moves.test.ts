import assert from "node:assert/strict";
import { test } from "node:test";
import { bitsUp, limitsOf, movedTo, type Bits, type Part } from "../src/window_moves";

const RAIL = { top: 6, bottom: -10 };

test("keys move upwards to the left, as the bits lie", () => {
  assert.equal(bitsUp("ArrowLeft"), bitsUp("ArrowUp"));
  assert.equal(bitsUp("ArrowRight"), -1);
  assert.equal(bitsUp("a"), undefined);
});

test("the window moves whole, and each edge alone", () => {
  assert.deepEqual(movedTo("window", 4, [3, -4], RAIL), [4, -3]);
  assert.deepEqual(movedTo("high", 4, [3, -4], RAIL), [4, -4]);
  assert.deepEqual(movedTo("low", -6, [3, -4], RAIL), [3, -6]);
});

test("nothing leaves the rail, and no edge passes the other", () => {
  assert.deepEqual(movedTo("window", Infinity, [3, -4], RAIL), [6, -1]);
  assert.deepEqual(movedTo("window", -Infinity, [3, -4], RAIL), [-10, -17]);
  assert.deepEqual(movedTo("high", -Infinity, [3, -4], RAIL), [-4, -4]);
  assert.deepEqual(movedTo("low", Infinity, [3, -4], RAIL), [3, 3]);
});

test("what lies beyond the rail comes back step by step, and goes no further", () => {
  assert.deepEqual(movedTo("window", 8, [9, 2], RAIL), [8, 1]);
  assert.deepEqual(movedTo("window", 10, [9, 2], RAIL), [9, 2]);
  assert.deepEqual(movedTo("low", -19, [-12, -20], RAIL), [-12, -19]);
  assert.deepEqual(movedTo("low", -21, [-12, -20], RAIL), [-12, -20]);
});

test("wherever a part is put, it lies within its limits and the others stay", () => {
  const windows: Bits[] = [[6, -10], [0, 0], [9, 7], [-12, -20], [20, -30]];
  for (const bits of windows) {
    for (const part of ["window", "high", "low"] as Part[]) {
      for (let bit = -40; bit <= 40; bit++) {
        const [high, low] = movedTo(part, bit, bits, RAIL);
        const [least, most] = limitsOf(part, bits, RAIL);
        const moved = part === "low" ? low : high;
        assert.ok(least <= moved && moved <= most && high >= low);
        if (part === "window") assert.equal(high - low, bits[0] - bits[1]);
        if (part === "high") assert.equal(low, bits[1]);
        if (part === "low") assert.equal(high, bits[0]);
      }
    }
  }
});
