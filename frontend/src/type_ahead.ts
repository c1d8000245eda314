/** What was typed in one go, to find a line by its first letters. */

const PAUSE_MS = 800;

export class TypeAhead {
  private typed = "";
  private at = -Infinity;

  /** Add a letter, and give all that were typed without a pause. */
  add(letter: string): string {
    const now = performance.now();
    this.typed = this.isOver(now) ? letter : this.typed + letter;
    this.at = now;
    return this.typed;
  }

  /** Whether the next letter begins anew, so that a blank is no letter. */
  isOver(now: number = performance.now()): boolean {
    return now - this.at >= PAUSE_MS;
  }
}
