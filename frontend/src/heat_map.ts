/** The heat map beside the list: bqplot's picture of the lines that are seen, in their order, and scrolled with them.
 *
 * The kernel sends one line of pixels for each tensor. Here they are put in the order of the list, so that sorting,
 * filtering, folding and scrolling ask the kernel nothing.
 */
import type { Line } from "./order";

/** A model of another widget, as a widget manager gives it. */
export interface Model {
  get(name: string): any;
  set(values: Record<string, unknown>): void;
  trigger(event: string): void;
}

/** What of the list the heat map follows. */
export interface Strips {
  pixels: Uint8Array;
  width: number;
  palette: Uint8Array;
}

/** What is marked in it: the lines of the selected tensors, and the cell that is read out by keys. */
export interface Marked {
  selected: ReadonlySet<string>;
  read: { row: number; column: number } | null;
}

const LINE_PIXELS = 6;
const GAP_PIXELS = 1;
const SELECTED = [42, 120, 214, 255]; // the accent
const READ = [230, 159, 0, 255];
const BEYOND = 60; // lines that are painted above and below those that are seen

export class HeatMap {
  private start = 0;
  private end = 0;

  constructor(
    private readonly picture: Model,
    private readonly mark: Model,
    private readonly scale: Model,
  ) {}

  /** Paint the lines around those that are seen, from `first` on. */
  paint(lines: readonly Line[], marked: Marked, strips: Strips, first: number, count: number): void {
    const start = Math.max(Math.floor(first) - BEYOND, 0);
    const end = Math.min(Math.ceil(first + count) + BEYOND, Math.max(lines.length, 1));
    const moved = start !== this.start || end !== this.end;
    [this.start, this.end] = [start, end];
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(strips.width, 1);
    canvas.height = (this.end - this.start) * LINE_PIXELS;
    const context = canvas.getContext("2d")!;
    const image = context.createImageData(canvas.width, canvas.height);
    for (let at = this.start; at < Math.min(this.end, lines.length); at++) {
      const line = lines[at];
      if (line.kind === "group" && !line.folded) continue;
      this.paintLine(image, strips, line.row, at - this.start, line.kind === "row" && marked.selected.has(line.path));
      if (line.row === marked.read?.row) this.markCell(image, at - this.start, marked.read.column);
    }
    context.putImageData(image, 0, 0);
    const url = new TextEncoder().encode(canvas.toDataURL());
    this.picture.set({ format: "url", value: new DataView(url.buffer) });
    this.mark.trigger("change:image");
    if (moved) this.mark.set({ y: Float64Array.of(-end, -start) }); // lines count downwards
    this.scroll(first, count);
  }

  /** Show the lines from `first` on; false where they are not painted. */
  scroll(first: number, count: number): boolean {
    this.scale.set({ min: -(first + count), max: -first });
    return first >= this.start && first + count <= Math.max(this.end, count);
  }

  /** How many bits have a column; each is several pixels wide. */
  get columns(): number {
    return this.mark.get("x")[1];
  }

  /** The line and the column under the pointer, which is over the picture. */
  cellAt(event: MouseEvent): { line: number; column: number } {
    const { left, width, top, height } = (event.target as Element).getBoundingClientRect();
    return {
      line: this.start + Math.floor(((event.clientY - top) / height) * (this.end - this.start)),
      column: Math.floor(((event.clientX - left) / width) * this.columns),
    };
  }

  private paintLine(image: ImageData, strips: Strips, row: number, place: number, selected: boolean): void {
    const { pixels, width, palette } = strips;
    const line = image.data.subarray(place * LINE_PIXELS * width * 4, (place + 1) * LINE_PIXELS * width * 4);
    for (let x = 0; x < width; x++) {
      const colour = 3 * pixels[row * width + x];
      line[4 * x] = palette[colour];
      line[4 * x + 1] = palette[colour + 1];
      line[4 * x + 2] = palette[colour + 2];
      line[4 * x + 3] = 255;
    }
    for (let y = 1; y < LINE_PIXELS - GAP_PIXELS; y++) line.copyWithin(y * width * 4, 0, width * 4);
    if (!selected) return;
    for (let x = 0; x < width; x++) {
      for (const y of [0, LINE_PIXELS - 1]) line.set(SELECTED, (y * width + x) * 4);
    }
    for (let y = 0; y < LINE_PIXELS; y++) {
      for (const x of [0, 1, width - 2, width - 1]) line.set(SELECTED, (y * width + x) * 4);
    }
  }

  private markCell(image: ImageData, place: number, column: number): void {
    const wide = image.width / this.columns;
    for (const y of [0, 1, LINE_PIXELS - 2, LINE_PIXELS - 1]) {
      for (let x = column * wide; x < (column + 1) * wide; x++) image.data.set(READ, ((place * LINE_PIXELS + y) * image.width + x) * 4);
    }
  }
}
