/** Cards and notebooks for the tests of the sidebar. It knows no widget. */
import type { TranslationBundle } from '@jupyterlab/translation';

import { NotebookModel } from '../../src/model';
import type { ICard, IHolderView, ILack, IQuestion, IResourceView } from '../../src/protocol';

function filled(text: string, args: unknown[]): string {
  return text.replace(/%(\d)/g, (_, place) => String(args[Number(place) - 1]));
}

/** English as it stands in the source; the library's own translator is published as an ES module only. */
export const trans = {
  __: (text: string, ...args: unknown[]) => filled(text, args),
  _n: (one: string, many: string, count: number, ...args: unknown[]) =>
    filled(count === 1 ? one : many, [count, ...args])
} as unknown as TranslationBundle;

let made = 0;

export function card(changes: Partial<ICard> = {}): ICard {
  made += 1;
  const times = { dispatched_at: 0, queued_at: 0, started_at: 0, ended_at: null, paused_at: null, held: 0 };
  const leases = { lacks: '', waits: [] };
  const flags = { needs_you: '', stopping: false, unsandboxed: '', stage: null, pausable: true, steerable: false };
  return {
    ...{ uid: `u${made}`, name: `task-${made}`, worker: 'kernel', role: 'worker', tier: '', model: '', state: 'running' },
    ...{ origin: 'person', deliver: 'idle', attempt: 1, version: 1, order: made, after: [], cell: '', result_cell: '' },
    ...{ progress: null, line: '', reason: '', question: null, tokens: null, cost: null },
    ...times,
    ...leases,
    ...flags,
    ...changes
  } as ICard;
}

export function question(changes: Partial<IQuestion> = {}): IQuestion {
  return { action: 'run: pytest', detail: 'pytest -q', digest: 'd1', proposal: false, more: 0, ...changes };
}

/** A notebook whose kernel is there and has these tasks; what is said to it comes back in `said`. */
export function notebook(id: string, ...cards: ICard[]): NotebookModel {
  const model = new NotebookModel(id, `${id}.ipynb`);
  const about = { seq: 0, protocol: 2, version: '0', now: 0, private: false, blocked: '', workers: [] };
  const leases = { resources: [], more: 0, lacks: [] };
  model.take({ type: 'Snapshot', ...about, master: 'the rules planner', turn: null, leases, cards });
  return model;
}

export function holder(changes: Partial<IHolderView> = {}): IHolderView {
  return { name: 'fit', uid: '', since: 0, what: 'press', state: 'held', ...changes };
}

export function resource(changes: Partial<IResourceView> = {}): IResourceView {
  const none = { holders: [], waiting: [], more_holders: 0, more_waiting: 0 };
  return { name: 'press', used: 1, capacity: 1, slots: false, ...none, ...changes };
}

/** Tell a notebook what is leased, as its kernel does. */
export function lease(model: NotebookModel, resources: IResourceView[], lacks: ILack[] = [], more = 0): void {
  const seq = seqs.get(model) ?? 1;
  seqs.set(model, seq + 1);
  const none = { now: 0, blocked: '', cards: [], gone: [], master: null, turn: null };
  model.take({ type: 'Changes', seq, ...none, leases: { resources, more, lacks } });
}

const seqs = new WeakMap<NotebookModel, number>();
