import { listRows, matches } from '../../src/sidebar/listing';
import type { Folded, Row, Section } from '../../src/sidebar/listing';
import type { NotebookModel } from '../../src/model';
import { card, holder, lease, notebook, resource } from './cards';

const open = (): boolean => false;

function shown(rows: Row[]): string[] {
  return rows.map(row => (row.kind === 'card' ? row.card.name : row.key));
}

function list(all: NotebookModel[], query = '', folded: Folded = open): string[] {
  return shown(listRows(all, all[0] ?? null, query, folded));
}

test('what needs the person comes first, then what runs, waits and has ended', () => {
  const model = notebook(
    'a',
    card({ name: 'ended', state: 'done', ended_at: 1 }),
    card({ name: 'waits', state: 'waiting' }),
    card({ name: 'paused', state: 'paused' }),
    card({ name: 'runs' }),
    card({ name: 'asks', needs_you: 'approve' })
  );
  const expected = ['#needs-you', 'asks', '#running', 'runs', '#waiting', 'waits', 'paused', '#finished', 'ended'];
  expect(list([model])).toEqual(expected);
});

test('the task that ended last is the first of the ended ones', () => {
  const early = card({ name: 'early', state: 'done', ended_at: 5 });
  const late = card({ name: 'late', state: 'failed', ended_at: 9 });
  expect(list([notebook('a', early, late)])).toEqual(['#finished', 'late', 'early']);
});

test('a folded section shows its head alone, and a search looks into it', () => {
  const model = notebook('a', card({ name: 'fit', state: 'done' }), card({ name: 'draw' }));
  const folded = (section: Section): boolean => section === 'finished';
  expect(list([model], '', folded)).toEqual(['#running', 'draw', '#finished']);
  expect(list([model], 'fit', folded)).toEqual(['#finished', 'fit']);
});

test('the tasks of other notebooks are in one fold, by path, and say how many need the person', () => {
  const here = notebook('m', card({ name: 'here' }));
  const last = notebook('z', card({ name: 'last' }));
  const first = notebook('b', card({ name: 'first', needs_you: 'approve' }));
  const rows = listRows([here, last, first], here, '', open);
  expect(shown(rows)).toEqual([
    ...['#running', 'here', '#others', '#notebook b', 'first', '#notebook z', 'last']
  ]);
  expect(rows[2]).toMatchObject({ section: 'others', count: 2, needy: 1 });
});

test('a task of two views of one kernel is listed once, with the notebook in front', () => {
  const same = card({ name: 'same' });
  expect(list([notebook('a', same), notebook('b', same)])).toEqual(['#running', 'same']);
});

test('each card knows its place among those of its list', () => {
  const rows = listRows([notebook('a', card(), card(), card({ state: 'done' }))], null, '', open);
  const places = rows.flatMap(row => (row.kind === 'card' ? [[row.position, row.size]] : []));
  expect(places).toEqual([
    [1, 3],
    [2, 3],
    [3, 3]
  ]);
});

test('every word of a search must be in the name, the worker or the state', () => {
  const fit = card({ name: 'Fit-model', worker: 'shell', state: 'paused' });
  expect(matches(fit, 'fit')).toBe(true);
  expect(matches(fit, 'paused SHELL')).toBe(true);
  expect(matches(fit, 'fit kernel')).toBe(false);
});

test('what is leased stands between the tasks under way and those that have ended', () => {
  const model = notebook('a', card({ name: 'waits', state: 'queued' }), card({ name: 'ended', state: 'done' }));
  lease(model, [resource({ name: 'press' }), resource({ name: 'db:main' })]);
  const expected = ['#waiting', 'waits', '#resources', '#resource press', '#resource db:main', '#finished', 'ended'];
  expect(list([model])).toEqual(expected);
  lease(model, []);
  expect(list([model])).toEqual(['#waiting', 'waits', '#finished', 'ended']);
});

test('what the own code leases is listed where there is no task', () => {
  const model = notebook('a');
  lease(model, [resource()], [], 3);
  const [header] = listRows([model], model, '', open);
  expect(header).toMatchObject({ key: '#resources', count: 4, folded: false });
});

test('what other notebooks lease is theirs', () => {
  const here = notebook('a', card({ name: 'here' }));
  const there = notebook('b', card({ name: 'there' }));
  lease(there, [resource()]);
  expect(list([here, there])).not.toContain('#resources');
});

test('a mere wait for slots is folded until the person unfolds it', () => {
  const model = notebook('a');
  const byDefault: Folded = (_, folded = false) => folded;
  const slots = resource({ name: 'slots:kernel', slots: true });
  lease(model, [slots]);
  expect(list([model], '', byDefault)).toEqual(['#resources']);
  lease(model, [resource(), slots]);
  expect(list([model], '', byDefault)).toEqual(['#resources', '#resource press', '#resource slots:kernel']);
});

test('a search finds resources by their name and by who holds them or waits', () => {
  const model = notebook('a', card({ name: 'other' }));
  const press = resource({ holders: [holder({ name: 'fit' })], waiting: [holder({ name: 'plot' })] });
  lease(model, [press, resource({ name: 'pool' })]);
  expect(list([model], 'plot')).toEqual(['#resources', '#resource press']);
  expect(list([model], 'pool')).toEqual(['#resources', '#resource pool']);
  expect(list([model], 'other')).toEqual(['#running', 'other']);
});
