/** The rows of a timeline, those in sight of many, with their keys. What is in view is worked out elsewhere. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useLayoutEffect, useRef, useState } from 'react';

import { StateMark } from '../glyphs';
import type { ISpan, ITimeline, ITimelineRow } from './timeline';
import { Axis, Bars, describe, Ground, ROW } from './timelineBars';
import { NAMES } from './timelineCamera';

const SPARE = 6; // rows drawn beyond those in sight

interface IRowsProps {
  timeline: ITimeline;
  view: ISpan;
  now: number;
  open: (uid: string) => void;
  trans: TranslationBundle;
}

/** The rows in sight of many. */
export function Rows({ timeline, view, now, open, trans }: IRowsProps): JSX.Element {
  const scroller = useRef<HTMLDivElement>(null);
  const { top, height, width, measure } = useMeasures(scroller);
  const [chosen, setChosen] = useState(0);
  const wantsFocus = useRef(false);
  const count = timeline.rows.length;
  const current = Math.min(chosen, count - 1);
  const first = Math.max(0, Math.floor(top / ROW) - SPARE);
  const end = Math.min(count, Math.ceil((top + height) / ROW) + SPARE);
  useLayoutEffect(() => {
    if (wantsFocus.current) {
      wantsFocus.current = false;
      scroller.current?.querySelector<HTMLElement>(`[data-row="${current}"]`)?.focus({ preventScroll: true });
    }
  });
  const choose = (index: number) => {
    const to = Math.min(Math.max(index, 0), count - 1);
    const node = scroller.current!;
    node.scrollTop = Math.min(Math.max(node.scrollTop, (to + 1) * ROW - node.clientHeight), to * ROW);
    wantsFocus.current = true;
    setChosen(to);
    measure();
  };
  const drawn = Array.from({ length: Math.max(0, end - first) }, (_, offset) => first + offset);
  if (!drawn.includes(current)) {
    drawn.push(current); // Tab must find it, wherever it is
  }
  return (
    <>
      <div className="jp-OrchestraTimeline-top" style={{ paddingLeft: NAMES }}>
        <Axis timeline={timeline} view={view} width={width} />
      </div>
      <div
        className="jp-OrchestraTimeline-scroll"
        ref={scroller}
        onScroll={measure}
        onKeyDown={event => move(event, current, count, choose)}
      >
        <div className="jp-OrchestraTimeline-whole" style={{ height: count * ROW }}>
          <div className="jp-OrchestraTimeline-plane" style={{ left: NAMES }}>
            <Ground timeline={timeline} view={view} width={width} first={first} end={end} now={now} />
          </div>
          <div role="list" aria-label={trans.__('Tasks')}>
            {drawn.map(index => (
              <Row
                key={timeline.rows[index]!.card.uid}
                row={timeline.rows[index]!}
                index={index}
                count={count}
                isCurrent={index === current}
                view={view}
                width={width}
                open={uid => {
                  setChosen(index);
                  open(uid);
                }}
                trans={trans}
              />
            ))}
          </div>
        </div>
      </div>
    </>
  );
}

function move(event: React.KeyboardEvent, current: number, count: number, choose: (index: number) => void): void {
  const targets: Record<string, number> = { ArrowDown: current + 1, ArrowUp: current - 1, Home: 0, End: count - 1 };
  const target = targets[event.key];
  if (target !== undefined) {
    event.preventDefault();
    event.stopPropagation();
    choose(target);
  }
}

function useMeasures(scroller: React.RefObject<HTMLElement>): {
  top: number;
  height: number;
  width: number;
  measure: () => void;
} {
  const [measures, setMeasures] = useState({ top: 0, height: 0, width: 0 });
  const measure = () => {
    const node = scroller.current;
    if (node !== null) {
      setMeasures({ top: node.scrollTop, height: node.clientHeight, width: Math.max(0, node.clientWidth - NAMES) });
    }
  };
  useLayoutEffect(() => {
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(scroller.current!);
    return () => observer.disconnect();
  }, []);
  return { ...measures, measure };
}

interface IRowProps {
  row: ITimelineRow;
  index: number;
  count: number;
  isCurrent: boolean;
  view: ISpan;
  width: number;
  open: (uid: string) => void;
  trans: TranslationBundle;
}

function Row({ row, index, count, isCurrent, view, width, open, trans }: IRowProps): JSX.Element {
  const said = describe(row, trans);
  const { card } = row;
  return (
    <div role="listitem" aria-posinset={index + 1} aria-setsize={count} style={{ top: index * ROW, height: ROW }}>
      <button
        type="button"
        className="jp-OrchestraTimeline-row"
        data-row={index}
        data-task={card.name}
        tabIndex={isCurrent ? 0 : -1}
        aria-label={said}
        title={said}
        onClick={() => open(card.uid)}
      >
        <span className="jp-OrchestraTimeline-name" style={{ width: NAMES }}>
          <StateMark mark={card.needs_you !== '' ? 'needs-you' : card.state} />
          <span>{card.name}</span>
        </span>
        <Bars row={row} view={view} width={width} />
      </button>
    </div>
  );
}
