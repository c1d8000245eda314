/** ipywidgets gives the handles of a slider no name, so that a screen reader says "slider". Here they get its label's. */

/** Name the sliders of the workbench that an element is in, those that come later too; gives what ends that. */
export function nameSliders(within: HTMLElement): () => void {
  let frame = 0;
  const watcher = new MutationObserver((changes) => {
    const places = new Set(changes.map((change) => (change.target as HTMLElement).closest(".widget-slider") ?? change.target));
    for (const place of places) name(place as HTMLElement);
  });
  const begin = (): void => {
    const root = within.closest<HTMLElement>(".qw-workbench");
    if (root) {
      name(root);
      watcher.observe(root, { childList: true, subtree: true });
    } else if (!within.isConnected) {
      frame = requestAnimationFrame(begin); // it is put into the page some time after it has been rendered
    }
  };
  begin();
  return () => {
    cancelAnimationFrame(frame);
    watcher.disconnect();
  };
}

function name(place: HTMLElement): void {
  const inside = [...place.querySelectorAll<HTMLElement>(".widget-slider")];
  for (const slider of place.matches(".widget-slider") ? [place, ...inside] : inside) {
    const label = slider.querySelector(".widget-label")?.textContent ?? "";
    const handles = slider.querySelectorAll(".noUi-handle");
    handles.forEach((handle, at) => {
      const end = handles.length < 2 ? "" : at === 0 ? ": first" : ": last";
      handle.setAttribute("aria-label", `${label}${end}`);
    });
  }
}
