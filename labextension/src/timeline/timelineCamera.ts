/** What of a timeline is in view, and how keys and the wheel move it. It draws nothing. */
import type React from 'react';
import { useEffect, useRef, useState } from 'react';

import type { ISpan, ITimeline } from './timeline';
import { fit, follow, pan, showsNow, zoom } from './timeline';

/** Pixels of the column of names, left of what is in view. */
export const NAMES = 168;
/** One step of zooming. */
export const STEP = 1.4;
const SHIFT = 0.15; // one step of moving, in views

/** What is in view, and how it is moved. */
export interface ICamera {
  view: ISpan;
  isWhole: boolean;
  follows: boolean;
  /** The moment that stays in its place when no pointer says which. */
  anchor: number;
  set(view: ISpan): void;
  showAll(): void;
  setFollows(follows: boolean): void;
}

export function useCamera(timeline: ITimeline, now: number, minutes: number): ICamera {
  const [span, setSpan] = useState<ISpan | null>(minutes > 0 ? { begin: now - minutes * 60, end: now } : null);
  const [follows, setFollows] = useState(true);
  const isLive = timeline.rows.some(row => row.card.ended_at === null);
  const view = span === null ? fit(timeline) : follows && isLive ? follow(span, now) : span;
  return {
    view,
    isWhole: span === null,
    follows,
    anchor: follows && isLive && showsNow(view, now) ? now : (view.begin + view.end) / 2,
    set: next => {
      setSpan(next);
      setFollows(follows && showsNow(next, now));
    },
    showAll: () => {
      setSpan(null);
      setFollows(true);
    },
    setFollows
  };
}

export function steer(event: React.KeyboardEvent, camera: ICamera, timeline: ITimeline): void {
  const acts: Record<string, () => void> = {
    '+': () => camera.set(zoom(camera.view, 1 / STEP, camera.anchor, timeline)),
    '=': () => camera.set(zoom(camera.view, 1 / STEP, camera.anchor, timeline)),
    '-': () => camera.set(zoom(camera.view, STEP, camera.anchor, timeline)),
    '0': () => camera.showAll(),
    ArrowLeft: () => camera.set(pan(camera.view, -SHIFT, timeline)),
    ArrowRight: () => camera.set(pan(camera.view, SHIFT, timeline))
  };
  const act = event.ctrlKey || event.metaKey || event.altKey ? undefined : acts[event.key];
  if (act !== undefined) {
    event.preventDefault();
    event.stopPropagation();
    act();
  }
}

/** Ctrl and the wheel zoom at the pointer; the wheel sideways moves. React's listener could not refuse the page's. */
export function useWheel(root: React.RefObject<HTMLElement>, camera: ICamera, timeline: ITimeline): void {
  const latest = useRef({ camera, timeline });
  latest.current = { camera, timeline };
  useEffect(() => {
    const node = root.current!;
    const turn = (event: WheelEvent) => {
      const { camera, timeline } = latest.current;
      const width = node.clientWidth - NAMES;
      const sideways = event.shiftKey ? event.deltaY : event.deltaX;
      if (event.ctrlKey || event.metaKey) {
        const part = (event.clientX - node.getBoundingClientRect().left - NAMES) / width;
        const at = camera.view.begin + (camera.view.end - camera.view.begin) * Math.min(Math.max(part, 0), 1);
        camera.set(zoom(camera.view, Math.exp(event.deltaY / 300), at, timeline));
      } else if (Math.abs(sideways) > Math.abs(event.shiftKey ? 0 : event.deltaY)) {
        camera.set(pan(camera.view, sideways / width, timeline));
      } else {
        return;
      }
      event.preventDefault();
    };
    node.addEventListener('wheel', turn, { passive: false });
    return () => node.removeEventListener('wheel', turn);
  }, []);
}
