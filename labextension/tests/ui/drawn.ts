/** Draws an element into a node of its own, at once. */
import type { ReactElement } from 'react';
import { flushSync } from 'react-dom';
import { createRoot } from 'react-dom/client';

export function drawn(element: ReactElement): HTMLElement {
  const node = document.createElement('div');
  flushSync(() => createRoot(node).render(element));
  return node;
}
