import { NotebookModel, OrchestraModel } from '../src/model';
import type { ICard, IDetail, ISnapshot, State, ToKernel, ToPage } from '../src/protocol';
import type { INews, IShown } from '../src/panel/watch';
import { TaskWatch } from '../src/panel/watch';
import { golden } from './golden';

const snapshot = golden<ToPage>('to_page').find(({ type }) => type === 'Snapshot') as ISnapshot;
const task: ICard = { ...snapshot.cards[0]!, uid: 'u', attempt: 1, state: 'running' };

function text(...lines: string[]): IDetail['outputs'] {
  return lines.map(line => ({ output_type: 'stream', name: 'stdout', text: line }));
}

function detail(state: State, outputs: IDetail['outputs'], changes: Partial<IDetail> = {}): IDetail {
  return {
    ...{ type: 'Detail', uid: 'u', attempt: 1, brief: '', story: [{ at: 1, state, reason: '' }], explanation: '' },
    ...{ notes: [], artifacts: [], trusted: false, kind: 'code', terminal: false, first: 0, outputs },
    ...changes
  };
}

class Scene {
  readonly orchestra = new OrchestraModel();
  readonly notebook = new NotebookModel('n', 'a.ipynb');
  readonly told: ToKernel[] = [];
  readonly news: INews[] = [];
  readonly shown: IShown[] = [];
  readonly watch: TaskWatch;

  constructor() {
    this.orchestra.add(this.notebook);
    this.notebook.connect(message => void this.told.push(message));
    this.snapshot();
    this.watch = new TaskWatch(this.orchestra, 'u');
    this.watch.came.connect((_, news) => void this.news.push(news));
    this.watch.showed.connect((_, shown) => void this.shown.push(shown));
  }

  snapshot(cards: ICard[] = [task]): void {
    this.notebook.take({ ...snapshot, cards });
  }

  output(index: number, outputs: IDetail['outputs'], attempt = 1): void {
    this.notebook.take({ type: 'Output', uid: 'u', attempt, index, outputs });
  }

  terminal(start: number, text: string, attempt = 1, uid = 'u'): void {
    this.notebook.take({ type: 'Terminal', uid, attempt, start, end: start + text.length, text });
  }

  watches(): boolean[] {
    return this.told.flatMap(message => (message.type === 'Watch' ? [message.on ?? true] : []));
  }
}

test('it watches as long as someone looks', () => {
  const scene = new Scene();
  scene.watch.dispose();
  expect(scene.watches()).toEqual([true, false]);
});

test('outputs come in their order and each once', () => {
  const scene = new Scene();
  scene.notebook.take(detail('running', text('a', 'b')));
  scene.output(1, text('b', 'c'));
  scene.output(0, text('a'));
  scene.output(3, text('d'));
  expect(scene.news).toEqual([
    { fresh: true, skipped: 0, outputs: text('a', 'b') },
    { fresh: false, skipped: 0, outputs: text('c') },
    { fresh: false, skipped: 0, outputs: text('d') }
  ]);
});

test('it says how many outputs the kernel no longer had', () => {
  const scene = new Scene();
  scene.notebook.take(detail('running', text('e'), { first: 4 }));
  scene.output(9, text('j'));
  expect(scene.news.map(({ skipped }) => skipped)).toEqual([4, 4]);
});

test('a detail of the same attempt brings only what is new', () => {
  const scene = new Scene();
  scene.notebook.take(detail('running', text('a')));
  scene.notebook.take(detail('paused', text('a', 'b')));
  expect(scene.news[1]).toEqual({ fresh: false, skipped: 0, outputs: text('b') });
});

test('the end brings the outputs of the result, and late live ones are dropped', () => {
  const scene = new Scene();
  scene.notebook.take(detail('running', text('a')));
  scene.notebook.take(detail('done', text('a', 'z')));
  scene.output(1, text('late'));
  expect(scene.news.slice(1)).toEqual([{ fresh: true, skipped: 0, outputs: text('a', 'z') }]);
});

test('an end without a result leaves what came live', () => {
  const scene = new Scene();
  scene.notebook.take(detail('running', text('a')));
  scene.notebook.take(detail('cancelled', []));
  scene.notebook.take(detail('cancelled', [], { explanation: 'nothing of it runs any more' }));
  expect(scene.news).toHaveLength(1);
});

test('a new attempt begins anew, and nothing of the old one comes in between', () => {
  const scene = new Scene();
  scene.notebook.take(detail('failed', text('old')));
  scene.notebook.take(detail('running', [], { attempt: 2 }));
  scene.output(1, text('stale'), 1);
  scene.output(0, text('new'), 2);
  expect(scene.news.slice(1)).toEqual([
    { fresh: true, skipped: 0, outputs: [] },
    { fresh: false, skipped: 0, outputs: text('new') }
  ]);
});

test('it watches again after every snapshot that has the task, for the kernel may be a new one', () => {
  const scene = new Scene();
  scene.notebook.stand('lost', 'restarting');
  expect(scene.watch.whereabouts).toBe('away');
  scene.snapshot();
  expect(scene.watch.whereabouts).toBe('here');
  scene.snapshot([]);
  expect(scene.watches()).toEqual([true, true]);
});

test('outputs between a new watch and its detail are not shown twice', () => {
  const scene = new Scene();
  scene.notebook.take(detail('running', text('a')));
  scene.snapshot();
  scene.output(1, text('b'));
  scene.notebook.take(detail('running', text('a', 'b')));
  expect(scene.news.flatMap(({ outputs }) => outputs)).toEqual(text('a', 'b'));
});

test('a task that was forgotten says so and keeps its last card', () => {
  const scene = new Scene();
  scene.snapshot([]);
  expect(scene.watch.whereabouts).toBe('forgotten');
  expect(scene.watch.card?.uid).toBe('u');
});

test('a closed notebook says so, and opened again the task is found', () => {
  const scene = new Scene();
  scene.orchestra.remove(scene.notebook);
  expect(scene.watch.whereabouts).toBe('closed');
  const again = new NotebookModel('m', 'a.ipynb');
  const told: ToKernel[] = [];
  again.connect(message => void told.push(message));
  scene.orchestra.add(again);
  again.take({ ...snapshot, cards: [task] });
  expect(scene.watch.whereabouts).toBe('here');
  expect(told).toContainEqual({ type: 'Watch', task: 'u' });
});

test('a terminal goes on, and begins anew when something is missing or comes again', () => {
  const scene = new Scene();
  scene.terminal(0, '$ ls');
  scene.terminal(4, '\r\n');
  scene.terminal(0, 'of another task', 1, 'v');
  scene.terminal(900, 'much later');
  scene.terminal(0, '$ ls\r\n');
  scene.terminal(6, 'more', 2);
  expect(scene.shown).toEqual([
    { fresh: true, text: '$ ls' },
    { fresh: false, text: '\r\n' },
    { fresh: true, text: 'much later' },
    { fresh: true, text: '$ ls\r\n' },
    { fresh: true, text: 'more' }
  ]);
});

test('why a task waits for leases is news, even while its card stays the same', () => {
  const scene = new Scene();
  let changes = 0;
  scene.watch.changed.connect(() => void (changes += 1));
  const lack = { uid: 'u', missing: 'press', holders: [], more: 0, elsewhere: '', ahead: 1 };
  const change = { type: 'Changes' as const, now: 1, blocked: '', cards: [], gone: [], master: null, turn: null };
  scene.notebook.take({ ...change, seq: snapshot.seq + 1, leases: { resources: [], more: 0, lacks: [lack] } });
  expect([changes, scene.watch.lack]).toEqual([1, lack]);
  scene.notebook.take({ ...change, seq: snapshot.seq + 2, leases: null });
  expect(changes).toBe(1);
});
