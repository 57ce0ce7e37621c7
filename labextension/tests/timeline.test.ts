import type { ICard, ISnapshot, ToPage } from '../src/protocol';
import { criticalPath, fit, follow, layOut, pan, phasesOf, place, showsNow, spent, ticks, zoom } from '../src/timeline/timeline';
import { golden } from './golden';

const sample = (golden<ToPage>('to_page').find(({ type }) => type === 'Snapshot') as ISnapshot).cards[0]!;

let order = 0;
function card(uid: string, changes: Partial<ICard>): ICard {
  const times = { dispatched_at: 0, queued_at: null, started_at: null, ended_at: null, paused_at: null, held: 0, waits: [] };
  return { ...sample, ...times, uid, name: uid, state: 'running', attempt: 1, after: [], order: ++order, ...changes };
}

function ran(uid: string, begin: number, end: number, after: string[] = []): ICard {
  return card(uid, { state: 'done', queued_at: begin, started_at: begin, ended_at: end, after });
}

test('phases follow one another and what goes on lasts until now', () => {
  const phases = phasesOf(card('a', { queued_at: 2, started_at: 5 }), 9);
  expect(phases.map(({ kind, begin, end }) => [kind, begin, end])).toEqual([
    ['waiting', 0, 2],
    ['queued', 2, 5],
    ['running', 5, 9]
  ]);
});

test('waiting for leases is a phase of its own, in the queue and while it runs', () => {
  const waits = [
    { since: 2, until: 4 },
    { since: 6, until: null }
  ];
  const waiting = card('a', { queued_at: 2, started_at: 5, waits });
  expect(phasesOf(waiting, 9).map(({ kind, begin, end }) => [kind, begin, end])).toEqual([
    ['waiting', 0, 2],
    ['leases', 2, 4],
    ['queued', 4, 5],
    ['running', 5, 6],
    ['leases', 6, 9]
  ]);
  expect(spent(phasesOf(waiting, 9), 'leases')).toBe(5);
});

test('what waits for leases until it starts never waits for slots alone', () => {
  const phases = phasesOf(card('a', { queued_at: 0, started_at: 5, waits: [{ since: 0, until: 5 }] }), 9);
  expect(phases.map(({ kind }) => kind)).toEqual(['leases', 'running']);
});

test('a pause is no waiting for leases, whatever it waited for before', () => {
  const waits = [{ since: 1, until: 3 }];
  const phases = phasesOf(card('a', { state: 'paused', queued_at: 1, paused_at: 3, waits }), 9);
  expect(phases.map(({ kind, end }) => [kind, end])).toEqual([['waiting', 1], ['leases', 3], ['paused', 9]]);
});

test('seconds of waiting for leases are no running', () => {
  const cards = [{ ...ran('a', 0, 10), waits: [{ since: 1, until: 9 }] }, ran('b', 0, 5)];
  expect(criticalPath(cards, 20)).toEqual(['b']);
});

test('phases without length are left out', () => {
  expect(phasesOf(card('a', { queued_at: 0, started_at: 0 }), 3).map(({ kind }) => kind)).toEqual(['running']);
});

test('a task that was cancelled while it waited only waited', () => {
  const phases = phasesOf(card('a', { state: 'cancelled', ended_at: 4 }), 9);
  expect(phases).toEqual([{ kind: 'waiting', begin: 0, end: 4 }]);
});

test('what came before the present attempt is told apart from waiting', () => {
  const [first] = phasesOf(card('a', { attempt: 2, queued_at: 7, started_at: 8 }), 9);
  expect(first).toEqual({ kind: 'before', begin: 0, end: 7 });
});

test('a paused task is paused until now', () => {
  const phases = phasesOf(card('a', { state: 'paused', queued_at: 1, started_at: 2, paused_at: 5 }), 9);
  expect(phases[phases.length - 1]).toEqual({ kind: 'paused', begin: 5, end: 9 });
});

test('the critical path is the chain that ran longest', () => {
  const cards = [ran('a', 0, 10), ran('b', 0, 3), ran('c', 10, 11, ['a', 'b']), ran('d', 3, 12, ['b'])];
  expect(criticalPath(cards, 20)).toEqual(['b', 'd']);
});

test('what ran before the task before it had ended does not count', () => {
  const cards = [ran('a', 10, 20), ran('b', 0, 12, ['a']), ran('c', 20, 25)];
  expect(criticalPath(cards, 30)).toEqual(['b']);
});

test('paused seconds are no running', () => {
  const cards = [{ ...ran('a', 0, 10), held: 8 }, ran('b', 0, 5)];
  expect(criticalPath(cards, 20)).toEqual(['b']);
});

test('where nothing ran there is no critical path', () => {
  expect(criticalPath([card('a', {})], 5)).toEqual([]);
});

test('rows come in the order of dispatch, with an edge for each dependency that is there', () => {
  const a = ran('a', 0, 10);
  const b = ran('b', 10, 11, ['a', 'gone']);
  const { rows, edges, begin, end } = layOut([b, a], 20);
  expect(rows.map(row => [row.card.uid, row.isCritical])).toEqual([
    ['a', true],
    ['b', true]
  ]);
  expect(edges).toEqual([{ from: 0, to: 1, isCritical: true }]);
  expect([begin, end]).toEqual([0, 11]);
});

test('a timeline of nothing has a length to show', () => {
  const view = fit(layOut([], 100));
  expect(view.end).toBeGreaterThan(view.begin);
});

const whole = { begin: 0, end: 100 };

test('the whole fits with air on both sides', () => {
  const view = fit(whole);
  expect(place(view, 0)).toBeGreaterThan(0);
  expect(place(view, 100)).toBeLessThan(1);
});

test('zooming keeps the moment under the pointer in its place', () => {
  const view = zoom({ begin: 0, end: 100 }, 0.25, 30, whole);
  expect(view.end - view.begin).toBeCloseTo(25);
  expect(place(view, 30)).toBeCloseTo(0.3);
});

test('zooming ends somewhere in both directions', () => {
  let near = fit(whole);
  let far = fit(whole);
  for (let step = 0; step < 200; step++) {
    near = zoom(near, 0.5, 50, whole);
    far = zoom(far, 2, 50, whole);
  }
  expect(near.end).toBeGreaterThan(near.begin);
  expect(far.end - far.begin).toBeLessThan(1000);
});

test('moving never loses the tasks', () => {
  let view = zoom(whole, 0.1, 50, whole);
  for (let step = 0; step < 100; step++) {
    view = pan(view, 1, whole);
  }
  expect(view.begin).toBeLessThan(whole.end);
  for (let step = 0; step < 100; step++) {
    view = pan(view, -1, whole);
  }
  expect(view.end).toBeGreaterThan(whole.begin);
});

test('following keeps now in view, and the length of the view', () => {
  const view = follow({ begin: 0, end: 10 }, 500);
  expect(showsNow(view, 500)).toBe(true);
  expect(view.end - view.begin).toBeCloseTo(10);
});

test('marks are even, few and counted from the first dispatch', () => {
  const marks = ticks({ begin: 1000, end: 1060 }, 1000, 6);
  expect(marks.map(({ label }) => label)).toEqual(['0 s', '10 s', '20 s', '30 s', '40 s', '50 s', '1:00']);
  expect(marks[1]!.at).toBe(1010);
});

test.each([
  [0.3, '0.1 s'],
  [4, '1 s'],
  [900, '5 min'],
  [40_000, '4 h'],
  [26_000, '2 h'],
  [10_000_000, '672 h']
])('a view of %d s has a mark that says %s', (length, label) => {
  expect(ticks({ begin: 0, end: length }, 0, 5).map(mark => mark.label)).toContain(label);
});
