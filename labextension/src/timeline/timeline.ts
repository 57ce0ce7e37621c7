/** What a timeline shows, from cards alone: phases, the critical path, and which stretch of time is in view. */
import type { ICard } from '../protocol';

/**
 * What a task was doing.
 *
 * - `before`: earlier attempts; `waiting`: for other tasks; `leases`: waiting for them, in the queue or while it runs;
 * - `queued`: for slots alone; `running`; `paused`: it is held now.
 */
export type PhaseKind = 'before' | 'waiting' | 'leases' | 'queued' | 'running' | 'paused';

/** A stretch of time, in POSIX seconds. */
export interface ISpan {
  begin: number;
  end: number;
}

export interface IPhase extends ISpan {
  kind: PhaseKind;
}

/** One line of the timeline. */
export interface ITimelineRow extends ISpan {
  card: ICard;
  phases: readonly IPhase[];
  isCritical: boolean;
}

/** A task that another one came after; indices of rows. */
export interface IEdge {
  from: number;
  to: number;
  isCritical: boolean;
}

export interface ITimeline extends ISpan {
  rows: readonly ITimelineRow[];
  edges: readonly IEdge[];
}

const SHORTEST = 0.05; // seconds that a view shows at least
const MARGIN = 0.04; // part of a view that is left free at its ends

/** Phases one after the other, without those that took no time; `now` ends what goes on. */
export function phasesOf(card: ICard, now: number): IPhase[] {
  const end = endOf(card, now);
  const first: PhaseKind = card.attempt > 1 ? 'before' : 'waiting';
  const marks: [PhaseKind, number | null][] = [
    [first, card.dispatched_at],
    ['queued', card.queued_at],
    ['running', card.started_at],
    ['paused', card.paused_at]
  ];
  const known = marks.filter((mark): mark is [PhaseKind, number] => mark[1] !== null);
  const phases = known.map(([kind, begin], index) => ({ kind, begin, end: known[index + 1]?.[1] ?? end }));
  const waits = waitsOf(card, now);
  return phases
    .flatMap(phase => (phase.kind === 'queued' || phase.kind === 'running' ? cut(phase, waits) : [phase]))
    .filter(phase => phase.end > phase.begin);
}

/** Seconds of one kind in all its phases. */
export function spent(phases: readonly IPhase[], kind: PhaseKind): number {
  return phases.reduce((sum, phase) => sum + (phase.kind === kind ? phase.end - phase.begin : 0), 0);
}

/** When a task waited for leases. */
function waitsOf(card: ICard, now: number): ISpan[] {
  return card.waits.map(({ since, until }) => ({ begin: since, end: until ?? endOf(card, now) }));
}

/** A phase without the times in which it waited for leases, and these, in order. */
function cut(phase: IPhase, waits: readonly ISpan[]): IPhase[] {
  const parts: IPhase[] = [];
  let from = phase.begin;
  for (const wait of waits) {
    const begin = Math.max(from, wait.begin);
    const end = Math.min(phase.end, wait.end);
    if (end > begin) {
      parts.push({ kind: phase.kind, begin: from, end: begin }, { kind: 'leases', begin, end });
      from = end;
    }
  }
  return [...parts, { kind: phase.kind, begin: from, end: phase.end }];
}

/** The best chain that ends with a task: what ran in it, and when the last of it ended. */
interface IWay {
  seconds: number;
  until: number;
  before: string;
}

/**
 * The chain through the dependencies that ran longest: more slots make it no shorter.
 *
 * What a task ran before the task before it had ended (that one was run again) does not count.
 */
export function criticalPath(cards: readonly ICard[], now: number): string[] {
  const known = new Map(cards.map(card => [card.uid, card]));
  const best = new Map<string, IWay>();
  for (const card of [...cards].sort((a, b) => a.order - b.order)) {
    const end = endOf(card, now);
    let way: IWay = { seconds: ranFor(card, 0, now), until: end, before: '' };
    for (const before of card.after) {
      const sooner = known.has(before) ? best.get(before) : undefined;
      const seconds = sooner === undefined ? 0 : sooner.seconds + ranFor(card, sooner.until, now);
      if (sooner !== undefined && seconds > way.seconds) {
        way = { seconds, until: Math.max(sooner.until, end), before };
      }
    }
    best.set(card.uid, way);
  }
  let last = '';
  for (const [uid, way] of best) {
    last = way.seconds > (best.get(last)?.seconds ?? 0) ? uid : last;
  }
  const path: string[] = [];
  for (let uid = last; uid !== ''; uid = best.get(uid)!.before) {
    path.unshift(uid);
  }
  return path;
}

/** Seconds that the present attempt ran, from a moment on; to wait for leases is not to run. */
function ranFor(card: ICard, since: number, now: number): number {
  if (card.started_at === null) {
    return 0;
  }
  const until = card.ended_at ?? card.paused_at ?? now;
  const from = Math.max(card.started_at, since);
  const waited = waitsOf(card, now).reduce(
    (sum, { begin, end }) => sum + Math.max(0, Math.min(end, until) - Math.max(begin, from)),
    0
  );
  return Math.max(0, until - from - card.held - waited);
}

function endOf(card: ICard, now: number): number {
  return Math.max(card.ended_at ?? now, card.dispatched_at);
}

/** All of it, in the order of dispatch. */
export function layOut(cards: readonly ICard[], now: number): ITimeline {
  const ordered = [...cards].sort((a, b) => a.order - b.order);
  const path = criticalPath(ordered, now);
  const critical = new Set(path);
  const steps = new Set(path.slice(1).map((uid, index) => `${path[index]} ${uid}`));
  const rows = ordered.map(card => ({
    ...{ card, phases: phasesOf(card, now), isCritical: critical.has(card.uid) },
    ...{ begin: card.dispatched_at, end: endOf(card, now) }
  }));
  const places = new Map(ordered.map((card, index) => [card.uid, index]));
  const edges = ordered.flatMap((card, to) =>
    card.after.flatMap(uid => {
      const from = places.get(uid);
      return from === undefined ? [] : [{ from, to, isCritical: steps.has(`${uid} ${card.uid}`) }];
    })
  );
  const begin = rows.reduce((least, row) => Math.min(least, row.begin), rows.length > 0 ? Infinity : now);
  const end = rows.reduce((most, row) => Math.max(most, row.end), begin);
  return { rows, edges, begin, end };
}

/** The view that shows a whole, with some air around it. */
export function fit(whole: ISpan): ISpan {
  const length = Math.max(whole.end - whole.begin, SHORTEST);
  return { begin: whole.begin - length * MARGIN, end: whole.begin + length * (1 + MARGIN) };
}

/** A view `factor` times as long; what is at the moment `at` stays in its place. */
export function zoom(view: ISpan, factor: number, at: number, whole: ISpan): ISpan {
  const longest = length(fit(whole)) * 4;
  const wanted = Math.min(Math.max(length(view) * factor, SHORTEST), Math.max(longest, SHORTEST));
  const part = (at - view.begin) / length(view);
  return hold({ begin: at - wanted * part, end: at + wanted * (1 - part) }, whole);
}

/** The view moved by a part of its own length. */
export function pan(view: ISpan, part: number, whole: ISpan): ISpan {
  const by = length(view) * part;
  return hold({ begin: view.begin + by, end: view.end + by }, whole);
}

/** The view moved so that `now` stays near its right end. */
export function follow(view: ISpan, now: number): ISpan {
  const end = now + length(view) * MARGIN;
  return { begin: end - length(view), end };
}

/** Whether what happens now is in view. */
export function showsNow(view: ISpan, now: number): boolean {
  return view.begin <= now && now <= view.end;
}

/** Where a moment is, from 0 at the left end of the view to 1 at its right end; beyond that when it is outside. */
export function place(view: ISpan, at: number): number {
  return (at - view.begin) / length(view);
}

/** Moments to mark in a view, at most `most` of them, at even distances that people count in. */
export function ticks(view: ISpan, origin: number, most: number): { at: number; label: string }[] {
  const step = STEPS.find(candidate => length(view) / candidate <= most) ?? STEPS[STEPS.length - 1]!;
  const first = Math.ceil((view.begin - origin) / step);
  const last = Math.floor((view.end - origin) / step);
  const marks: { at: number; label: string }[] = [];
  for (let index = first; index <= last && marks.length <= most * 4; index++) {
    marks.push({ at: origin + index * step, label: label(index * step, step) });
  }
  return marks;
}

const STEPS = [
  0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400,
  172800, 604800, 2419200
];

/** Seconds since the beginning, as exact as the step between two marks. */
function label(seconds: number, step: number): string {
  const sign = seconds < 0 ? '−' : '';
  const size = Math.abs(seconds);
  if (step < 1) {
    return `${sign}${size.toFixed(step < 0.1 ? 2 : 1)} s`;
  }
  if (step < 60 && size < 60) {
    return `${sign}${Math.round(size)} s`;
  }
  const two = (value: number): string => String(value).padStart(2, '0');
  const whole = Math.round(size);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  if (step < 60) {
    return hours > 0 ? `${sign}${hours}:${two(minutes)}:${two(rest)}` : `${sign}${minutes}:${two(rest)}`;
  }
  if (hours === 0) {
    return `${sign}${minutes} min`;
  }
  return minutes === 0 ? `${sign}${hours} h` : `${sign}${hours} h ${two(minutes)}`;
}

function length(span: ISpan): number {
  return span.end - span.begin;
}

/** Keep at least a bit of the whole in view. */
function hold(view: ISpan, whole: ISpan): ISpan {
  const least = length(view) * MARGIN;
  const by = Math.max(0, whole.begin + least - view.end) - Math.max(0, view.begin - (whole.end - least));
  return { begin: view.begin + by, end: view.end + by };
}
