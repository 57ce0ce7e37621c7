/** What the list of rows measures and keeps: size of text, view, scroll position, focus. It knows no task. */
import { useCallback, useLayoutEffect, useRef, useState } from 'react';
import type React from 'react';

import type { ICardRow, Row } from './listing';
import { rowAt } from './windowing';

const PROBE = 1300; // pixels: the height of the probe, a hundred lines, at the normal size of text

/** The size of the person's text against the normal one, in which the heights are given. */
export function useScale(probe: React.RefObject<HTMLElement>): number {
  const [scale, setScale] = useState(1);
  useLayoutEffect(() => {
    const read = (): void => setScale(probe.current!.offsetHeight / PROBE || 1);
    const observer = new ResizeObserver(read);
    observer.observe(probe.current!);
    read();
    return () => observer.disconnect();
  }, [probe]);
  return scale;
}

export function useView(scroller: React.RefObject<HTMLElement>): { top: number; height: number; onScroll: () => void } {
  const [view, setView] = useState({ top: 0, height: 800 });
  const read = useCallback(() => {
    const { scrollTop: top, clientHeight: height } = scroller.current!;
    setView(old => (old.top === top && old.height === height ? old : { top, height }));
  }, [scroller]);
  useLayoutEffect(() => {
    const observer = new ResizeObserver(read);
    observer.observe(scroller.current!);
    read();
    return () => observer.disconnect();
  }, [scroller, read]);
  return { ...view, onScroll: read };
}

/** Keep what the person looks at where it is, when rows above it come or go. */
export function useAnchor(scroller: React.RefObject<HTMLElement>, rows: readonly Row[], offsets: Float64Array): void {
  const before = useRef<{ rows: readonly Row[]; offsets: Float64Array }>({ rows, offsets });
  useLayoutEffect(() => {
    const old = before.current;
    before.current = { rows, offsets };
    if (old.offsets === offsets || old.rows.length === 0) {
      return;
    }
    const top = scroller.current!.scrollTop; // has the page laid out at once
    if (top === 0) {
      return;
    }
    const index = rowAt(old.offsets, top);
    const anchor = old.rows[index]!;
    const same = (row: Row): boolean =>
      row.key === anchor.key && (row.kind === 'header' || row.list === (anchor as ICardRow).list);
    const found = rows.findIndex(same);
    const moved = found < 0 ? 0 : offsets[found]! - old.offsets[index]!;
    if (moved !== 0) {
      scroller.current!.scrollTop = top + moved;
    }
  });
}

interface IFocusHandlers {
  onFocus(event: React.FocusEvent<HTMLElement>): void;
  onBlur(): void;
}

/** The focus stays with a task whose card was made anew elsewhere in the list, on the same button if it is there. */
export function useKeptFocus(scroller: React.RefObject<HTMLElement>): IFocusHandlers {
  const held = useRef<{ key: string; button: string } | null>(null);
  useLayoutEffect(() => {
    if (held.current === null || document.activeElement !== document.body) {
      return;
    }
    const row = scroller.current!.querySelector<HTMLElement>(`[data-key="${CSS.escape(held.current.key)}"]`);
    const button = held.current.button;
    const inside = button === '' ? null : row?.querySelector<HTMLElement>(`[aria-label="${CSS.escape(button)}"]`);
    (inside ?? row)?.focus({ preventScroll: true });
  });
  return {
    onFocus: event => {
      const row = event.target.closest<HTMLElement>('[data-key]');
      const button = row === event.target ? '' : (event.target.getAttribute('aria-label') ?? '');
      held.current = row === null ? null : { key: row.dataset['key']!, button };
    },
    onBlur: () => {
      held.current = null;
    }
  };
}
