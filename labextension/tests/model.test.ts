import { elapsed, groupOf, NotebookModel, OrchestraModel } from '../src/model';
import type { ICard, ISnapshot, ToKernel, ToPage } from '../src/protocol';
import { golden } from './golden';

const snapshot = golden<ToPage>('to_page').find(message => message.type === 'Snapshot') as ISnapshot;

function card(changes: Partial<ICard>): ICard {
  return { ...(snapshot.cards[0] as ICard), ...changes };
}

function ready(cards: ICard[] = []): NotebookModel {
  const model = new NotebookModel('panel', 'a.ipynb');
  model.take({ ...snapshot, seq: 7, cards });
  return model;
}

test('every golden message to the page is taken in and passed on', () => {
  const model = new NotebookModel('panel', 'a.ipynb');
  const said: string[] = [];
  model.said.connect((_, { type }) => void said.push(type));
  const messages = golden<ToPage>('to_page');
  messages.forEach(message => model.take(message));
  expect(said).toEqual(messages.map(({ type }) => type));
});

test('a snapshot replaces what was known and makes the notebook ready', () => {
  const model = ready([card({ uid: 'old' })]);
  model.take({ ...snapshot, cards: [card({ uid: 'new' })] });
  expect([...model.cards.keys()]).toEqual(['new']);
  expect(model.standing).toBe('ready');
});

test('changes add, change and remove cards', () => {
  const model = ready([card({ uid: 'a', line: 'x' }), card({ uid: 'b' })]);
  const missed = model.take({
    ...{ type: 'Changes', seq: 8, now: 1, blocked: 'disk full', master: null, turn: null, leases: null },
    cards: [card({ uid: 'a', line: 'y' }), card({ uid: 'c' })],
    gone: ['b']
  });
  expect(missed).toBe(false);
  expect([...model.cards.values()].map(({ uid }) => uid)).toEqual(['a', 'c']);
  expect(model.cards.get('a')?.line).toBe('y');
  expect(model.blocked).toBe('disk full');
});

test('who answers and the newest turn stay until they change', () => {
  const model = ready();
  expect([model.master, model.turn?.state]).toEqual([snapshot.master, 'running']);
  const change = { type: 'Changes' as const, now: 1, blocked: '', cards: [], gone: [], leases: null };
  model.take({ ...change, seq: 8, master: null, turn: { ...snapshot.turn!, state: 'failed' } });
  model.take({ ...change, seq: 9, master: 'the rules planner', turn: null });
  expect([model.master, model.turn?.state]).toEqual(['the rules planner', 'failed']);
  model.stand('unloaded');
  expect([model.master, model.turn]).toEqual(['', null]);
});

test('what is leased stays until it changes, and goes with the kernel', () => {
  const model = ready();
  expect(model.leases).toBe(snapshot.leases);
  expect(model.lackOf('c3')?.missing).toBe('press');
  expect(model.lackOf('a1')).toBeNull();
  const change = { type: 'Changes' as const, now: 1, blocked: '', cards: [], gone: [], master: null, turn: null };
  model.take({ ...change, seq: 8, leases: null });
  expect(model.leases).toBe(snapshot.leases);
  const leases = { resources: [], more: 0, lacks: [] };
  model.take({ ...change, seq: 9, leases });
  expect(model.leases).toBe(leases);
  model.take({ ...snapshot, seq: 10 });
  model.stand('unloaded');
  expect(model.leases.resources).toEqual([]);
});

test('typing in a page is said to its kernel', () => {
  const model = ready();
  const sent: ToKernel[] = [];
  model.connect(message => sent.push(message));
  model.composing.typed('composer');
  model.composing.typed('cell');
  model.composing.left('composer');
  model.composing.left('cell');
  expect(sent).toEqual([
    { type: 'Composing', on: true },
    { type: 'Composing', on: false }
  ]);
});

test('a gap in the numbers is seen and changes nothing', () => {
  const model = ready([card({ uid: 'a' })]);
  const missed = model.take({ type: 'Changes', seq: 9, now: 1, blocked: '', cards: [], gone: ['a'], master: null, turn: null, leases: null });
  expect(missed).toBe(true);
  expect([...model.cards.keys()]).toEqual(['a']);
});

test('a mismatch says so in the words of the kernel', () => {
  const model = ready();
  model.take({ type: 'Mismatch', protocol: 2, version: '9.0', message: 'update the page' });
  expect([model.standing, model.message, model.version]).toEqual(['mismatch', 'update the page', '9.0']);
});

test('a question is answered by the answer of its number', async () => {
  const model = ready();
  const sent: ToKernel[] = [];
  model.connect(message => sent.push(message));
  const first = model.ask({ type: 'Act', action: 'cancel', tasks: ['a'] });
  const second = model.ask({ type: 'Steer', task: 'b', text: 'go on' });
  const [one, two] = sent as { request: string }[];
  model.take({ type: 'Answer', request: two!.request, ok: true, message: '', uids: ['b'], names: [] });
  model.take({ type: 'Answer', request: one!.request, ok: false, message: 'no', uids: [], names: [] });
  expect((await first).message).toBe('no');
  expect((await second).uids).toEqual(['b']);
});

test('a question with nobody to hear it, or whose kernel goes, is answered at once', async () => {
  const model = ready();
  expect((await model.ask({ type: 'Compose', text: '1' })).ok).toBe(false);
  model.connect(() => undefined);
  const open = model.ask({ type: 'Compose', text: '1' });
  model.stand('lost', 'The kernel is dead.');
  expect(await open).toMatchObject({ ok: false, message: 'The kernel is dead.' });
});

test.each([
  [{ needs_you: 'approve?', state: 'running' }, 'needs-you'],
  [{ needs_you: '', state: 'running' }, 'running'],
  [{ needs_you: '', state: 'paused' }, 'waiting'],
  [{ needs_you: '', state: 'queued' }, 'waiting'],
  [{ needs_you: '', state: 'lost' }, 'finished'],
  [{ needs_you: '', state: 'done' }, 'finished']
] as const)('a card with %o is in the group %s', (changes, group) => {
  expect(groupOf(card(changes))).toBe(group);
});

test('elapsed time leaves out what was paused and stops at the end', () => {
  const started = { started_at: 100, ended_at: null, paused_at: null, held: 5 };
  expect(elapsed(card(started), 120)).toBe(15);
  expect(elapsed(card({ ...started, paused_at: 110 }), 120)).toBe(5);
  expect(elapsed(card({ ...started, ended_at: 112 }), 120)).toBe(7);
  expect(elapsed(card({ ...started, started_at: null }), 120)).toBe(0);
});

test('tasks that two views of one kernel show count once', () => {
  const all = new OrchestraModel();
  const [one, two] = [ready([card({ uid: 'a', state: 'running', needs_you: '' })]), ready()];
  all.add(one);
  all.add(two);
  two.take({ ...snapshot, cards: [card({ uid: 'a', state: 'running', needs_you: '' }), card({ uid: 'b', state: 'done', needs_you: '' })] });
  expect(all.count()).toEqual({ 'needs-you': 0, running: 1, waiting: 0, finished: 1 });
  expect(all.find('b')?.notebook).toBe(two);
});

test('a notebook that closes is no longer in front', () => {
  const all = new OrchestraModel();
  const one = ready();
  all.add(one);
  all.setCurrent(one);
  all.remove(one);
  expect([all.current, all.notebooks.length]).toEqual([null, 0]);
});
