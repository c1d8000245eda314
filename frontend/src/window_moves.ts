/** Where a window of bits goes when a part of it is moved. Bits lie as in a word: the highest on the left. */

export type Part = "window" | "high" | "low";

/** The highest and the lowest bit that are kept. */
export type Bits = readonly [high: number, low: number];

export interface Rail {
  top: number;
  bottom: number;
}

const PAGE = 4;
const KEYS: Record<string, number> = {
  ArrowLeft: 1,
  ArrowUp: 1,
  ArrowRight: -1,
  ArrowDown: -1,
  PageUp: PAGE,
  PageDown: -PAGE,
  Home: Infinity,
  End: -Infinity,
};

/** By how many bits a key moves a part upwards; undefined for any other key. */
export function bitsUp(key: string): number | undefined {
  return KEYS[key];
}

/** The bit that a part stands for; the window is where its highest bit is. */
export function bitOf(part: Part, [high, low]: Bits): number {
  return part === "low" ? low : high;
}

/** Between which bits a part may lie: on the rail, and an edge on its side of the other; what lies beyond may stay there. */
export function limitsOf(part: Part, [high, low]: Bits, rail: Rail): [least: number, most: number] {
  const least = part === "high" ? low : rail.bottom;
  const most = part === "low" ? high : rail.top;
  const now = bitOf(part, [high, low]);
  return [Math.min(least, now), Math.max(most, now)];
}

/** The window after a part of it was put on a bit, or as near to it as it may go. */
export function movedTo(part: Part, bit: number, [high, low]: Bits, rail: Rail): Bits {
  const [least, most] = limitsOf(part, [high, low], rail);
  const to = Math.min(Math.max(bit, least), most);
  if (part === "window") return [to, low + to - high];
  return part === "high" ? [to, low] : [high, to];
}
