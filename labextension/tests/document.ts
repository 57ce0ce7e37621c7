/** A notebook's shared document, results for it, and whoever has its cells in hand. It knows no test. */
import type { ISharedCodeCell } from '@jupyter/ydoc';
import { YNotebook } from '@jupyter/ydoc';
import * as Y from 'yjs';

import { Keeper } from '../src/document/keeper';
import type { Notebook } from '../src/document/mark';
import { KEY, markOf } from '../src/document/mark';
import type { ICells } from '../src/document/results';
import { insert } from '../src/document/results';
import type { IGrant, INewCell } from '../src/protocol';

export const settled = (): Promise<void> => new Promise(resolve => setTimeout(resolve));

/** A notebook of code cells with these ids. */
export function notebook(...ids: string[]): YNotebook {
  const cells = ids.map(id => ({ id, cell_type: 'code', source: id, metadata: {}, outputs: [], execution_count: null }));
  return YNotebook.create({ data: { cells, metadata: {}, nbformat: 4, nbformat_minor: 5 } as any });
}

export function open(...ids: string[]): { doc: YNotebook; keeper: Keeper; grant: (grant: IGrant) => string[]; hands: Hands } {
  const doc = notebook(...ids);
  doc.clearUndoHistory();
  const [keeper, hands] = [new Keeper(doc as unknown as Notebook), new Hands()];
  return { doc, keeper, hands, grant: granted => keeper.own(() => insert(doc as unknown as Notebook, granted, hands)) };
}

export class Hands implements ICells {
  queued = new Set<string>();
  touched = new Set<string>();
  trusted = new Set<string>();
  isQueued = (id: string): boolean => this.queued.has(id);
  isTouched = (id: string): boolean => this.touched.has(id);
  isTrusted = (id: string): boolean => this.trusted.has(id);
  trust = (id: string): void => void this.trusted.add(id);
}

export function cell(task: string, uid: string, changes: Partial<INewCell> = {}, part = 0): INewCell {
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

export function dispatched(task: string, uid: string, moment: number): INewCell {
  return cell(task, uid, { metadata: { [KEY]: { task, uid, kind: 'code', attempt: 1, part: 0, at: moment } } });
}

export function granted(task: string, uid: string, changes: Partial<IGrant> = {}): IGrant {
  return {
    ...{ type: 'Grant', uid, attempt: 1, cell: 'd', cohort: `h-${uid}`, last: true, into: '', filled: false },
    cells: [cell(task, uid)],
    ...changes
  };
}

export const text: Partial<INewCell> = { cell_type: 'markdown', source: '**found**', outputs: [], trusted: false };
export const ids = (doc: YNotebook): string[] => doc.cells.map(({ id }) => id);
export const uids = (doc: YNotebook): (string | undefined)[] => doc.cells.map(each => markOf(each)?.uid);
export const at = (doc: YNotebook, id: string): ISharedCodeCell => doc.cells.find(each => each.id === id) as unknown as ISharedCodeCell;
export const outputs = (doc: YNotebook, id: string): string => JSON.stringify(at(doc, id).getOutputs());

/** Another page's copy of the same shared document. */
export function twin(doc: YNotebook): YNotebook {
  const other = new YNotebook();
  Y.applyUpdate(other.ydoc, Y.encodeStateAsUpdate(doc.ydoc));
  return other;
}

export function merge(one: YNotebook, two: YNotebook): void {
  const [first, second] = [Y.encodeStateAsUpdate(one.ydoc), Y.encodeStateAsUpdate(two.ydoc)];
  Y.applyUpdate(two.ydoc, first);
  Y.applyUpdate(one.ydoc, second);
}
