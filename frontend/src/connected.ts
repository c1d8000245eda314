/** Waiting until an element is in the page: a view is put there some time after it has been rendered. */

/** Begin as soon as an element is in the page; gives what ends the waiting. */
export function whenConnected(element: HTMLElement, begin: () => void): () => void {
  let frame = 0;
  const look = (): void => {
    if (element.isConnected) begin();
    else frame = requestAnimationFrame(look);
  };
  look();
  return () => cancelAnimationFrame(frame);
}
