import type { ISharedCodeCell } from '@jupyter/ydoc';
import { YNotebook } from '@jupyter/ydoc';
import { Signal } from '@lumino/signaling';
import * as Y from 'yjs';

import { Keeper } from '../src/document/keeper';
import type { Notebook } from '../src/document/mark';
import { DELETED_LIMIT, deletedIn, KEY, keyOf, markOf, setDeleted, sumOf } from '../src/document/mark';
import type { IGrant, INewCell } from '../src/protocol';
import type { ICells } from '../src/document/results';
import { insert, isAnchored, standingOf } from '../src/document/results';
import type { IReceipt } from '../src/document/saver';
import { Saver } from '../src/document/saver';

const settled = (): Promise<void> => new Promise(resolve => setTimeout(resolve));

/** A notebook of code cells with these ids. */
function notebook(...ids: string[]): YNotebook {
  const cells = ids.map(id => ({ id, cell_type: 'code', source: id, metadata: {}, outputs: [], execution_count: null }));
  return YNotebook.create({ data: { cells, metadata: {}, nbformat: 4, nbformat_minor: 5 } as any });
}

function open(...ids: string[]): { doc: YNotebook; keeper: Keeper; grant: (grant: IGrant) => string[]; hands: Hands } {
  const doc = notebook(...ids);
  doc.clearUndoHistory();
  const [keeper, hands] = [new Keeper(doc as unknown as Notebook), new Hands()];
  return { doc, keeper, hands, grant: granted => keeper.own(() => insert(doc as unknown as Notebook, granted, hands)) };
}

class Hands implements ICells {
  queued = new Set<string>();
  touched = new Set<string>();
  trusted = new Set<string>();
  isQueued = (id: string): boolean => this.queued.has(id);
  isTouched = (id: string): boolean => this.touched.has(id);
  isTrusted = (id: string): boolean => this.trusted.has(id);
  trust = (id: string): void => void this.trusted.add(id);
}

function cell(task: string, uid: string, changes: Partial<INewCell> = {}, part = 0): INewCell {
  return {
    id: `jo-${task}-${uid}-${part}`,
    cell_type: 'code',
    source: `%task ${task}`,
    metadata: { [KEY]: { task, uid, kind: 'code', attempt: 1, part } },
    outputs: [{ output_type: 'stream', name: 'stdout', text: `${uid}\n` }],
    trusted: true,
    ...changes
  };
}

function dispatched(task: string, uid: string, moment: number): INewCell {
  return cell(task, uid, { metadata: { [KEY]: { task, uid, kind: 'code', attempt: 1, part: 0, at: moment } } });
}

function granted(task: string, uid: string, changes: Partial<IGrant> = {}): IGrant {
  return {
    ...{ type: 'Grant', uid, attempt: 1, cell: 'd', cohort: `h-${uid}`, last: true, into: '', filled: false },
    cells: [cell(task, uid)],
    ...changes
  };
}

const text: Partial<INewCell> = { cell_type: 'markdown', source: '**found**', outputs: [], trusted: false };
const ids = (doc: YNotebook): string[] => doc.cells.map(({ id }) => id);
const uids = (doc: YNotebook): (string | undefined)[] => doc.cells.map(each => markOf(each)?.uid);
const at = (doc: YNotebook, id: string): ISharedCodeCell => doc.cells.find(each => each.id === id) as unknown as ISharedCodeCell;
const outputs = (doc: YNotebook, id: string): string => JSON.stringify(at(doc, id).getOutputs());

describe('a granted result', () => {
  test('comes below its dispatching cell, after its earlier results', () => {
    const { doc, grant } = open('d', 'x');
    grant(granted('a', '1', { cohort: 'h', last: false }));
    grant(granted('b', '2', { cohort: 'h' }));
    expect(ids(doc)).toEqual(['d', 'jo-a-1-0', 'jo-b-2-0', 'x']);
    expect(outputs(doc, 'jo-a-1-0')).toContain('1\\n');
  });

  test('stops before the results of another cell', () => {
    const { doc, grant } = open('e', 'd');
    grant(granted('a', '1', { cell: 'd' }));
    doc.moveCell(0, 1);
    grant(granted('b', '2', { cell: 'd', cohort: 'h-1' }));
    expect(ids(doc)).toEqual(['d', 'jo-b-2-0', 'e', 'jo-a-1-0']);
  });

  test.each(['gone', ''])('comes at the end when its cell is %j', missing => {
    const { doc, grant } = open('d', 'x');
    grant(granted('a', '1', { cell: missing }));
    expect(ids(doc)).toEqual(['d', 'x', 'jo-a-1-0']);
  });

  test('of several parts keeps their order', () => {
    const { doc, grant } = open('d', 'x');
    grant(granted('a', '1', { cells: [cell('a', '1'), cell('a', '1', text, 1)] }));
    expect(ids(doc)).toEqual(['d', 'jo-a-1-0', 'jo-a-1-1', 'x']);
  });

  test('that is there is not put in again', () => {
    const { doc, grant } = open('d');
    grant(granted('a', '1'));
    expect(grant(granted('a', '1'))).toEqual([]);
    expect(ids(doc)).toEqual(['d', 'jo-a-1-0']);
  });

  test('cannot be undone, and what the person did can', () => {
    const { doc, grant } = open('d', 'x');
    at(doc, 'x').setSource('typed');
    grant(granted('a', '1'));
    doc.undo();
    expect(ids(doc)).toEqual(['d', 'jo-a-1-0', 'x']);
    expect(at(doc, 'x').getSource()).toBe('x');
  });

  test('is marked trusted only when it says so, whatever its metadata hold', () => {
    const { doc, grant } = open('d');
    const forged = { ...cell('b', '2').metadata, trusted: true };
    grant(granted('a', '1', { cohort: 'h', last: false }));
    grant(granted('b', '2', { cohort: 'h', cells: [cell('b', '2', { trusted: false, metadata: forged })] }));
    expect(at(doc, 'jo-a-1-0').getMetadata('trusted')).toBe(true);
    expect(at(doc, 'jo-b-2-0').getMetadata('trusted')).toBeUndefined();
  });
});

describe('running a dispatching cell again', () => {
  test('puts the new result in the place of the old one, which keeps its id', () => {
    const { doc, grant } = open('d', 'x');
    grant(granted('a', '1'));
    grant(granted('a', '2'));
    expect(ids(doc)).toEqual(['d', 'jo-a-1-0', 'x']);
    expect(uids(doc)).toEqual([undefined, '2', undefined]);
    expect(outputs(doc, 'jo-a-1-0')).toContain('2\\n');
    expect(deletedIn(doc as any)).toEqual([]);
  });

  test('takes the old outputs away before the new ones come: pages run texts together otherwise', () => {
    const { doc, grant } = open('d', 'x');
    grant(granted('a', '1'));
    const steps: string[] = [];
    at(doc, 'jo-a-1-0').changed.connect((_, { outputsChange }) => {
      const found = outputsChange?.flatMap(change => Object.keys(change)) ?? [];
      steps.push(found.filter(each => each !== 'retain').join());
    });
    grant(granted('a', '2'));
    expect(steps.filter(step => step !== '')).toEqual(['delete', 'insert']);
  });

  test('finds the old one by name first', () => {
    const { doc, grant } = open('d');
    grant(granted('a', '1', { cohort: 'h', last: false }));
    grant(granted('b', '2', { cohort: 'h' }));
    grant(granted('b', '3', { cohort: 'k', last: false }));
    expect(uids(doc)).toEqual([undefined, '1', '3']);
    grant(granted('c', '4', { cohort: 'k' }));
    expect(uids(doc)).toEqual([undefined, '4', '3']);
  });

  test('takes away what is left over with the last result', () => {
    const { doc, grant } = open('d', 'x');
    grant(granted('a', '1', { cohort: 'h', last: false }));
    grant(granted('b', '2', { cohort: 'h' }));
    grant(granted('b', '3', { cohort: 'k', last: true }));
    expect(uids(doc)).toEqual([undefined, '3', undefined]);
  });

  test.each(['edited', 'pinned', 'in hand'])('leaves an old result that is %s', why => {
    const { doc, grant, hands } = open('d');
    grant(granted('a', '1'));
    const old = at(doc, 'jo-a-1-0');
    if (why === 'edited') {
      old.setSource('%task a  # mine');
    } else if (why === 'pinned') {
      old.setMetadata(KEY, { ...(old.getMetadata(KEY) as object), pinned: true });
    } else {
      hands.touched.add(old.id);
    }
    grant(granted('a', '2'));
    expect(uids(doc)).toEqual([undefined, '1', '2']);
  });

  test('fills an old result that waits in the queue and never takes it away', () => {
    const { doc, grant, hands } = open('d');
    grant(granted('a', '1', { cohort: 'h', last: false }));
    grant(granted('b', '2', { cohort: 'h' }));
    hands.queued.add('jo-a-1-0').add('jo-b-2-0');
    grant(granted('a', '3', { cohort: 'k', last: true }));
    expect(ids(doc)).toEqual(['d', 'jo-a-1-0', 'jo-b-2-0']);
    expect(uids(doc)).toEqual([undefined, '3', '2']);
  });

  test('changes code into text in the same place', () => {
    const { doc, grant } = open('d', 'x');
    grant(granted('a', '1'));
    grant(granted('a', '2', { cells: [cell('a', '2', text)] }));
    expect(ids(doc)).toEqual(['d', 'jo-a-1-0', 'x']);
    expect([doc.cells[1]?.cell_type, doc.cells[1]?.getSource()]).toEqual(['markdown', '**found**']);
  });

  test('never shows untrusted outputs in a cell that was trusted', () => {
    const { doc, grant, hands } = open('d');
    grant(granted('a', '1'));
    const before = doc.cells[1];
    hands.trusted.add('jo-a-1-0');
    grant(granted('a', '2', { cells: [cell('a', '2', { trusted: false })] }));
    expect(doc.cells[1]).not.toBe(before);
    expect(at(doc, 'jo-a-1-0').getMetadata('trusted')).toBeUndefined();
  });

  test('of another dispatching cell replaces nothing', () => {
    const { doc, grant } = open('d', 'e');
    grant(granted('a', '1', { cell: 'd' }));
    grant(granted('a', '2', { cell: 'e' }));
    expect(ids(doc)).toEqual(['d', 'jo-a-1-0', 'e', 'jo-a-2-0']);
  });

  test('ends the old results that were replaced or taken away: offered again, they are not wanted', () => {
    const { doc, grant } = open('d');
    grant(granted('a', '1', { cohort: 'h', last: false }));
    grant(granted('b', '2', { cohort: 'h' }));
    grant(granted('a', '3'));
    grant(granted('a', '4'));
    const standings = ['1', '2', '3', '4'].map(uid => standingOf(doc as unknown as Notebook, uid, 1));
    expect(standings).toEqual(['deleted', 'deleted', 'deleted', 'present']);
    expect(uids(doc)).toEqual([undefined, '4']);
  });

  test('keeps its new result from the late one of its earlier run, and takes that away at its own end', () => {
    const { doc, grant } = open('d', 'x');
    const [early, late] = [dispatched('a', '1', 10), dispatched('a', '2', 20)];
    grant(granted('a', '2', { cells: [late], last: false }));
    grant(granted('a', '1', { cells: [early] }));
    expect(uids(doc)).toEqual([undefined, '2', '1', undefined]);
    grant(granted('b', '3', { cells: [dispatched('b', '3', 21)], cohort: 'h-2' }));
    expect(uids(doc)).toEqual([undefined, '2', '3', undefined]);
  });

  test('is not needed: a task that is tried again puts its new result in the place of the old one', () => {
    const { doc, grant } = open('d', 'x');
    grant(granted('a', '1', { cohort: 'h', last: false }));
    grant(granted('b', '2', { cohort: 'h' }));
    grant(granted('a', '1', { cohort: 'h', attempt: 2 }));
    expect(uids(doc)).toEqual([undefined, '1', '2', undefined]);
    expect(markOf(doc.cells[1] as any)?.attempt).toBe(2);
  });

  test('words that no cell asked for replace nothing', () => {
    const { doc, grant } = open('d');
    grant(granted('', '1', { cell: '' }));
    grant(granted('', '2', { cell: '' }));
    expect(uids(doc)).toEqual([undefined, '1', '2']);
  });
});

describe('a cell that a result is meant for', () => {
  test('gets the outputs and the mark, and keeps its source', () => {
    const { doc, grant } = open('d', 'x');
    at(doc, 'x').setSource('%task a\n');
    at(doc, 'x').execution_count = 5;
    grant(granted('a', '1', { into: 'x' }));
    expect(ids(doc)).toEqual(['d', 'x']);
    expect([at(doc, 'x').getSource(), markOf(at(doc, 'x') as any)?.uid]).toEqual(['%task a\n', '1']);
    expect(outputs(doc, 'x')).toContain('1\\n');
    expect(at(doc, 'x').execution_count).toBe(5);
    expect(markOf(at(doc, 'x') as any)?.sum).toBe(sumOf('%task a\n'));
  });

  test('that shows the outputs gets the mark alone', () => {
    const { doc, grant } = open('d', 'x');
    at(doc, 'x').setOutputs([{ output_type: 'stream', name: 'stdout', text: 'live\n' }] as any);
    grant(granted('a', '1', { into: 'x', filled: true }));
    expect(markOf(at(doc, 'x') as any)?.uid).toBe('1');
    expect(outputs(doc, 'x')).toContain('live');
  });

  test('is left when it holds another result that the person edited', () => {
    const { doc, grant } = open('d', 'x');
    grant(granted('a', '1', { into: 'x' }));
    at(doc, 'x').setSource('mine');
    grant(granted('b', '2', { into: 'x', cohort: 'h-1' }));
    expect(uids(doc)).toEqual([undefined, '1', '2']);
  });

  test('that is gone gives way to a new cell', () => {
    const { doc, grant } = open('d');
    grant(granted('a', '1', { into: 'gone', filled: true }));
    expect(ids(doc)).toEqual(['d', 'jo-a-1-0']);
  });
});

describe('what the person deletes', () => {
  const standing = (doc: YNotebook, uid: string): string => standingOf(doc as unknown as Notebook, uid, 1);

  test('stays deleted', async () => {
    const { doc, grant } = open('d');
    grant(granted('a', '1'));
    expect(standing(doc, '1')).toBe('present');
    doc.deleteCell(1);
    await settled();
    expect([standing(doc, '1'), deletedIn(doc as any)]).toEqual(['deleted', ['1/1/0']]);
    expect(grant(granted('a', '1'))).toEqual([]);
    expect(ids(doc)).toEqual(['d']);
  });

  test('comes back with an undo, and its tombstone goes', async () => {
    const { doc, grant } = open('d');
    grant(granted('a', '1'));
    doc.deleteCell(1);
    await settled();
    doc.undo();
    await settled();
    expect([standing(doc, '1'), deletedIn(doc as any)]).toEqual(['present', []]);
    expect(doc.getMetadata(KEY)).toBeUndefined();
  });

  test('or cuts comes back with a paste, under another id', async () => {
    const { doc, grant } = open('d');
    grant(granted('a', '1'));
    const { id: _, ...cut } = doc.cells[1]!.toJSON();
    doc.deleteCell(1);
    await settled();
    doc.insertCells(0, [cut as any]);
    await settled();
    expect([standing(doc, '1'), deletedIn(doc as any)]).toEqual(['present', []]);
  });

  test('is not what they move, nor what is missing after the file was read anew', async () => {
    const { doc, grant } = open('d', 'x');
    grant(granted('a', '1'));
    doc.moveCell(1, 2);
    await settled();
    expect(deletedIn(doc as any)).toEqual([]);
    doc.setSource(notebook('d', 'x').getSource());
    await settled();
    expect([standing(doc, '1'), deletedIn(doc as any)]).toEqual(['absent', []]);
  });

  test('with all other cells is remembered too', async () => {
    const { doc, grant } = open('d');
    grant(granted('a', '1'));
    doc.transact(() => {
      doc.deleteCellRange(0, 2);
      doc.insertCell(0, { cell_type: 'code', metadata: {} });
    });
    await settled();
    expect(deletedIn(doc as any)).toEqual(['1/1/0']);
  });

  test('is not what a later result replaced', async () => {
    const { doc, grant } = open('d', 'x');
    grant(granted('a', '1'));
    grant(granted('a', '2'));
    doc.deleteCell(2);
    await settled();
    expect(deletedIn(doc as any)).toEqual([]);
  });

  test('on another page is left to that page', async () => {
    const { doc, grant } = open('d');
    grant(granted('a', '1'));
    const other = twin(doc);
    other.deleteCell(1);
    Y.applyUpdate(doc.ydoc, Y.encodeStateAsUpdate(other.ydoc));
    await settled();
    expect([ids(doc), deletedIn(doc as any)]).toEqual([['d'], []]);
  });

  test('is forgotten when it is very old, and the rest of our metadata is kept', () => {
    const doc = notebook('d');
    doc.setMetadata(KEY, { other: 1 });
    setDeleted(doc as any, Array.from({ length: DELETED_LIMIT + 1 }, (_, index) => keyOf({ uid: `${index}`, attempt: 1, part: 0 })));
    expect(deletedIn(doc as any)[0]).toBe('1/1/0');
    expect(doc.getMetadata(KEY)).toMatchObject({ other: 1 });
  });
});

/** Another page's copy of the same shared document. */
function twin(doc: YNotebook): YNotebook {
  const other = new YNotebook();
  Y.applyUpdate(other.ydoc, Y.encodeStateAsUpdate(doc.ydoc));
  return other;
}

function merge(one: YNotebook, two: YNotebook): void {
  const [first, second] = [Y.encodeStateAsUpdate(one.ydoc), Y.encodeStateAsUpdate(two.ydoc)];
  Y.applyUpdate(two.ydoc, first);
  Y.applyUpdate(one.ydoc, second);
}

describe('doubles', () => {
  test('of two pages that inserted at once: one stays, the same on both', async () => {
    const { doc, grant } = open('d', 'x');
    const other = twin(doc);
    const keeper = new Keeper(other as unknown as Notebook);
    grant(granted('a', '1'));
    keeper.own(() => insert(other as unknown as Notebook, granted('a', '1'), new Hands()));
    merge(doc, other);
    expect(ids(doc)).toHaveLength(4);
    await settled();
    merge(doc, other);
    expect(ids(doc)).toEqual(['d', 'jo-a-1-0', 'x']);
    expect(ids(other)).toEqual(ids(doc));
    expect(deletedIn(doc as any)).toEqual([]);
  });

  test.each([0, 2])('that the person made by copying to %d stay, as cells of their own', async index => {
    const { doc, grant } = open('d');
    grant(granted('a', '1'));
    const { id: _, ...copy } = doc.cells[1]!.toJSON();
    doc.insertCells(index, [copy as any]);
    await settled();
    expect(doc.cells).toHaveLength(3);
    expect(doc.cells.filter(each => markOf(each) !== null).map(({ id }) => id)).toEqual(['jo-a-1-0']);
  });
});

test('an offer is anchored by its dispatching cell or by the cell that it is meant for', () => {
  const doc = notebook('d') as unknown as Notebook;
  const offer = { type: 'Offer', uid: '1', attempt: 1, round: 1 } as const;
  expect(isAnchored(doc, { ...offer, cell: 'd', into: 'x' })).toBe(true);
  expect(isAnchored(doc, { ...offer, cell: 'x', into: 'd' })).toBe(true);
  expect(isAnchored(doc, { ...offer, cell: '', into: '' })).toBe(false);
});

describe('an acknowledgement', () => {
  class Context {
    readonly ready = Promise.resolve();
    readonly saveState = new Signal<this, string>(this);
    contentsModel: { writable?: boolean } | null = { writable: true };
    model = { readOnly: false, collaborative: false, dirty: false };
    saves: { end: () => void; fail: (error: Error) => void }[] = [];
    save(): Promise<void> {
      this.saveState.emit('started');
      return new Promise((resolve, reject) => {
        this.saves.push({
          end: () => {
            this.saveState.emit('completed');
            resolve();
          },
          fail: reject
        });
      });
    }
  }
  class FakeDialogs {
    isOpen = false;
    readonly closed = new Signal<this, void>(this);
    close(): void {
      this.isOpen = false;
      this.closed.emit();
    }
  }
  const cancelled = Object.assign(new Error('Cancel'), { name: 'ModalCancelError' });
  const one = { uid: '1', attempt: 1 };
  const two = { uid: '2', attempt: 1 };

  function saving(): { context: Context; dialogs: FakeDialogs; saver: Saver; safe: IReceipt[]; gone: Set<string> } {
    const [context, dialogs, safe, gone] = [new Context(), new FakeDialogs(), [] as IReceipt[], new Set<string>()];
    const saver = new Saver(context, dialogs, ({ uid }) => !gone.has(uid), receipt => safe.push(receipt));
    return { context, dialogs, saver, safe, gone };
  }
  /** Let timers and what waits for them run. */
  const pass = (time: number): Promise<void> => jest.advanceTimersByTimeAsync(time);

  beforeEach(() => void jest.useFakeTimers());
  afterEach(() => void jest.useRealTimers());

  test('comes after one save for all that came together', async () => {
    const { context, saver, safe } = saving();
    saver.add(one);
    saver.add(two);
    await pass(1000);
    expect([context.saves.length, safe]).toEqual([1, []]);
    context.saves[0]!.end();
    await pass(1000);
    expect([context.saves.length, safe]).toEqual([1, [one, two]]);
  });

  test('waits for a save that began after the insertion', async () => {
    const { context, saver, safe } = saving();
    saver.add(one);
    await pass(1000);
    saver.add(two);
    context.saves[0]!.end();
    await pass(1000);
    expect(safe).toEqual([one]);
    context.saves[1]!.end();
    await pass(1000);
    expect(safe).toEqual([one, two]);
  });

  test('waits while the person saves, and while a dialog is open', async () => {
    const { context, dialogs, saver, safe } = saving();
    context.saveState.emit('started');
    saver.add(one);
    await pass(1000);
    expect(context.saves).toHaveLength(0);
    dialogs.isOpen = true;
    context.saveState.emit('completed');
    await pass(1000);
    expect(context.saves).toHaveLength(0);
    dialogs.close();
    await pass(1000);
    context.saves[0]!.end();
    await pass(1000);
    expect(safe).toEqual([one]);
  });

  test('is not forced on a person who declined to save, and comes when they do', async () => {
    const { context, saver, safe } = saving();
    saver.add(one);
    await pass(1000);
    context.saves[0]!.fail(cancelled);
    await pass(1000);
    context.model.dirty = true;
    saver.confirm(one);
    await pass(600_000);
    expect([context.saves.length, safe]).toEqual([1, []]);
    context.saveState.emit('started');
    context.saveState.emit('completed manually');
    await pass(1000);
    context.saves[1]!.end();
    await pass(1000);
    expect(safe).toEqual([one]);
  });

  test('is tried again after a failure, ever more slowly', async () => {
    const { context, saver, safe } = saving();
    saver.add(one);
    await pass(1000);
    context.saves[0]!.fail(new Error('disk full'));
    context.saveState.emit('failed');
    await pass(10_000);
    expect(context.saves).toHaveLength(1);
    await pass(10_000);
    context.saves[1]!.fail(new Error('disk full'));
    context.saveState.emit('failed');
    await pass(20_000);
    expect(context.saves).toHaveLength(2);
    await pass(20_000);
    context.saves[2]!.end();
    await pass(1000);
    expect(safe).toEqual([one]);
  });

  test('does not come for what the save took away', async () => {
    const { context, saver, safe, gone } = saving();
    saver.add(one);
    await pass(1000);
    gone.add('1');
    context.saves[0]!.end();
    await pass(1000);
    expect(safe).toEqual([]);
  });

  test('never comes from a document that cannot be saved', async () => {
    const { context, saver, safe } = saving();
    context.contentsModel = { writable: false };
    saver.add(one);
    await pass(1000);
    expect([context.saves.length, safe]).toEqual([0, []]);
  });

  test('of a shared document comes without a save', async () => {
    const { context, saver, safe } = saving();
    context.model.collaborative = true;
    saver.add(one);
    await pass(1000);
    expect([context.saves.length, safe]).toEqual([0, [one]]);
  });

  test('of what a saved document holds comes at once, of a changed one after a save', async () => {
    const { context, saver, safe } = saving();
    saver.confirm(one);
    expect(safe).toEqual([one]);
    context.model.dirty = true;
    saver.confirm(two);
    await pass(1000);
    expect([context.saves.length, safe]).toEqual([1, [one]]);
  });
});
