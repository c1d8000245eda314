/** Reading out a bit of the heat map, by pointing at it or by keys. What it says comes from the kernel, which has the counts. */
import type { AnyModel } from "@anywidget/types";
import { whenConnected } from "./connected";
import type { Bit, State } from "./state";

/** Ask the kernel what a bit says; null: nothing any more. */
export function ask(model: AnyModel<State>, bit: Bit | null): void {
  if (String(bit) === String(model.get("asked"))) return;
  model.set("asked", bit);
  model.save_changes();
}

/** The bit beside the one that was read last, on a row; the first key reads the leftmost. */
export function besides(read: Bit | null, name: string, by: number, columns: number): Bit {
  const column = read === null ? 0 : Math.min(Math.max(read[1] + by, 0), columns - 1);
  return [name, column];
}

/** Ask about what the pointer is over in the heat map beside a list; gives what ends that. */
export function readUnderPointer(list: HTMLElement, at: (event: MouseEvent) => Bit | null, model: AnyModel<State>): () => void {
  const onMove = (event: MouseEvent): void => {
    const target = event.target as Element;
    ask(model, target.matches("image") && target.closest(".qw-aligned") ? at(event) : null);
  };
  const onLeave = (): void => ask(model, null);
  let around: HTMLElement | null = null;
  const endWaiting = whenConnected(list, () => {
    around = list.closest<HTMLElement>(".qw-upper");
    around?.addEventListener("mousemove", onMove);
    around?.addEventListener("mouseleave", onLeave);
  });
  return () => {
    endWaiting();
    around?.removeEventListener("mousemove", onMove);
    around?.removeEventListener("mouseleave", onLeave);
  };
}
