/** Draws the bars, the dependencies and the axis of a timeline. It renders only. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { precise } from '../panel/clock';
import type { IPhase, ISpan, ITimeline, ITimelineRow, PhaseKind } from './timeline';
import { place, spent, ticks } from './timeline';
import { stateWord } from '../words';

export const ROW = 26; // pixels
const HEIGHTS: Record<PhaseKind, number> = { before: 2, waiting: 2, leases: 10, queued: 6, running: 14, paused: 6 };
/** The pattern of waiting for leases, which `Patterns` defines. */
export const STRIPES = 'jp-OrchestraTimeline-stripes';
const TICK_ROOM = 90; // pixels that a mark of the axis takes at least
const LABEL_ROOM = 56; // pixels for a length of time
const FAR = 4000; // pixels outside the view up to which a bar is drawn

/** A moment as a place on the screen, not so far outside that drawing it goes wrong. */
function across(view: ISpan, at: number, width: number): number {
  return Math.min(Math.max(place(view, at) * width, -FAR), width + FAR);
}

export function phaseWord(kind: PhaseKind, trans: TranslationBundle): string {
  const words: Record<PhaseKind, string> = {
    before: trans.__('earlier attempts'),
    waiting: trans.__('waiting for tasks'),
    leases: trans.__('waiting for leases'),
    queued: trans.__('waiting for slots'),
    running: trans.__('running'),
    paused: trans.__('paused')
  };
  return words[kind];
}

/** A row in words: for those who hear it, and for the tooltip. */
export function describe(row: ITimelineRow, trans: TranslationBundle): string {
  const kinds = [...new Set(row.phases.map(({ kind }) => kind))];
  const parts = kinds.map(kind => `${phaseWord(kind, trans)} ${precise(spent(row.phases, kind))}`);
  if (row.isCritical) {
    parts.push(trans.__('on the critical path'));
  }
  return [`${row.card.name}: ${stateWord(row.card, trans)}`, ...parts].join(', ');
}

interface IBarsProps {
  row: ITimelineRow;
  view: ISpan;
  width: number;
}

export function Bars({ row, view, width }: IBarsProps): JSX.Element {
  const end = across(view, row.end, width);
  const last = row.phases[row.phases.length - 1];
  return (
    <svg
      className="jp-OrchestraTimeline-bars"
      data-state={row.card.state}
      width={width}
      height={ROW}
      aria-hidden="true"
    >
      {row.phases.map((phase, index) => (
        <Bar key={index} phase={phase} view={view} width={width} isCritical={row.isCritical} />
      ))}
      {last?.kind === 'running' && (
        <Length seconds={spent(row.phases, 'running')} from={across(view, last.begin, width)} to={end} width={width} />
      )}
    </svg>
  );
}

interface ILengthProps {
  /** All that it ran. */
  seconds: number;
  from: number;
  to: number;
  width: number;
}

/** How long it ran: after its bar, or in it where there is no room. */
function Length({ seconds: ran, from, to, width }: ILengthProps): JSX.Element | null {
  const seconds = precise(ran);
  if (to > 0 && to + LABEL_ROOM < width) {
    return (
      <text x={to + 6} y={ROW / 2 + 4}>
        {seconds}
      </text>
    );
  }
  const end = Math.min(to, width);
  return end - Math.max(from, 0) < LABEL_ROOM ? null : (
    <text className="jp-mod-inside" x={end - 6} y={ROW / 2 + 4} textAnchor="end">
      {seconds}
    </text>
  );
}

interface IBarProps extends Omit<IBarsProps, 'row'> {
  phase: IPhase;
  isCritical: boolean;
}

function Bar({ phase, view, width, isCritical }: IBarProps): JSX.Element {
  const begin = across(view, phase.begin, width);
  const height = HEIGHTS[phase.kind];
  return (
    <rect
      data-phase={phase.kind}
      fill={phase.kind === 'leases' ? `url(#${STRIPES})` : undefined}
      data-critical={isCritical && phase.kind === 'running' ? '' : undefined}
      x={begin}
      y={(ROW - height) / 2}
      width={Math.max(across(view, phase.end, width) - begin, 1)}
      height={height}
      rx={Math.min(2, height / 2)}
    />
  );
}

/** What bars are filled with besides colours. */
export function Patterns(): JSX.Element {
  return (
    <svg className="jp-OrchestraTimeline-patterns" width={0} height={0} aria-hidden="true">
      <pattern id={STRIPES} width={6} height={6} patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
        <rect width={3} height={6} />
      </pattern>
    </svg>
  );
}

interface IGroundProps {
  timeline: ITimeline;
  view: ISpan;
  width: number;
  /** The rows in sight, without `end`. */
  first: number;
  end: number;
  now: number;
}

/** What is behind the bars: the marks of the axis, now, and a line from each task to those that came after it. */
export function Ground({ timeline, view, width, first, end, now }: IGroundProps): JSX.Element {
  const height = (end - first) * ROW;
  const seen = timeline.edges.filter(({ from, to }) => Math.max(from, to) >= first && Math.min(from, to) < end);
  return (
    <svg
      className="jp-OrchestraTimeline-ground"
      width={width}
      height={height}
      style={{ top: first * ROW }}
      aria-hidden="true"
    >
      {marks(timeline, view, width)
        .map(({ at }) => across(view, at, width))
        .map(x => (
          <line key={x} className="jp-mod-tick" x1={x} x2={x} y1={0} y2={height} />
        ))}
      {seen.map(({ from, to, isCritical }) => {
        const x = across(view, timeline.rows[from]!.end, width);
        const way = to > from ? 1 : -1;
        const [y1, y2] = [(from - first) * ROW + ROW / 2, (to - first) * ROW + ROW / 2 - way * 4];
        return (
          <g key={`${from} ${to}`} className="jp-mod-edge" data-critical={isCritical ? '' : undefined}>
            <line x1={x} x2={x} y1={y1} y2={y2} />
            <path d={`M${x - 3} ${y2 - way * 4}h6l-3 ${way * 5}z`} />
          </g>
        );
      })}
      {timeline.rows.some(row => row.card.ended_at === null) && (
        <line className="jp-mod-now" x1={across(view, now, width)} x2={across(view, now, width)} y1={0} y2={height} />
      )}
    </svg>
  );
}

function marks(timeline: ITimeline, view: ISpan, width: number): { at: number; label: string }[] {
  return ticks(view, timeline.begin, Math.max(2, Math.floor(width / TICK_ROOM)));
}

/** The axis: time since the first dispatch. */
export function Axis({ timeline, view, width }: Pick<IGroundProps, 'timeline' | 'view' | 'width'>): JSX.Element {
  return (
    <svg className="jp-OrchestraTimeline-axis" width={width} height={22} aria-hidden="true">
      {marks(timeline, view, width)
        .map(({ at, label }) => ({ label, x: across(view, at, width) }))
        .filter(({ x }) => x > -4 && x < width - LABEL_ROOM)
        .map(({ label, x }) => (
          <text key={label} x={x + 4} y={15}>
            {label}
          </text>
        ))}
    </svg>
  );
}
