/** Which row has the focus, and where the keys lead from there. It knows rows by their keys, not what they show. */
import { useCallback, useEffect, useRef, useState } from 'react';
import type React from 'react';

import type { Row } from './listing';
import { revealed } from './windowing';

export function canFocus(row: Row): boolean {
  return row.kind !== 'header' || row.section !== 'notebook';
}

/** Where a key leads from row `index`; null when it is not ours. */
export function target(key: string, index: number, rows: readonly Row[], page: number): number | null {
  const steps: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page };
  const wanted = key === 'Home' ? 0 : key === 'End' ? rows.length - 1 : index + (steps[key] ?? Number.NaN);
  if (Number.isNaN(wanted)) {
    return null;
  }
  const direction = wanted >= index ? 1 : -1;
  let found = Math.min(rows.length - 1, Math.max(0, wanted));
  while (rows[found] !== undefined && !canFocus(rows[found]!)) {
    found += direction;
  }
  return rows[found] === undefined ? index : found;
}

export interface IRoving {
  /** The one row that Tab reaches; -1 without any. */
  index: number;
  goTo(index: number): void;
  setKey(key: string): void;
}

/** One row at a time has the focus; a task that is wanted gets it as soon as it is listed. */
export function useRoving(
  scroller: React.RefObject<HTMLElement>,
  rows: readonly Row[],
  offsets: Float64Array,
  onScroll: () => void,
  wish: { uid: string; wanted: boolean }
): IRoving {
  const [key, setKey] = useState('');
  const toFocus = useRef('');
  const found = rows.findIndex(row => row.key === key);
  const goTo = useCallback(
    (index: number) => {
      const element = scroller.current!;
      element.scrollTop = revealed(offsets, index, element.scrollTop, element.clientHeight);
      toFocus.current = rows[index]!.key;
      setKey(toFocus.current);
      onScroll();
    },
    [scroller, rows, offsets, onScroll]
  );
  useEffect(() => {
    const selector = `[data-key="${CSS.escape(toFocus.current)}"]`;
    const row = toFocus.current === '' ? null : scroller.current!.querySelector<HTMLElement>(selector);
    if (row !== null) {
      toFocus.current = '';
      row.focus({ preventScroll: true });
    }
  });
  useEffect(() => {
    const index = wish.wanted ? rows.findIndex(row => row.key === wish.uid) : -1;
    if (index >= 0) {
      wish.wanted = false;
      goTo(index);
    }
  });
  return { index: found >= 0 ? found : rows.findIndex(canFocus), goTo, setKey };
}
