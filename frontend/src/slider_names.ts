/** ipywidgets gives the handle of a slider no name, so that a screen reader says "slider". Here it gets its label's. */
import { whenConnected } from "./connected";

/** Name the sliders of the workbench that an element is in, those that come later too; gives what ends that. */
export function nameSliders(within: HTMLElement): () => void {
  const watcher = new MutationObserver((changes) => {
    const places = new Set(changes.map((change) => (change.target as HTMLElement).closest(".widget-slider") ?? change.target));
    for (const place of places) name(place as HTMLElement);
  });
  const endWaiting = whenConnected(within, () => {
    const root = within.closest<HTMLElement>(".qw-workbench");
    if (!root) return;
    name(root);
    watcher.observe(root, { childList: true, subtree: true });
  });
  return () => {
    endWaiting();
    watcher.disconnect();
  };
}

function name(place: HTMLElement): void {
  const inside = [...place.querySelectorAll<HTMLElement>(".widget-slider")];
  for (const slider of place.matches(".widget-slider") ? [place, ...inside] : inside) {
    const label = slider.querySelector(".widget-label")?.textContent ?? "";
    slider.querySelector(".noUi-handle")?.setAttribute("aria-label", label);
  }
}
