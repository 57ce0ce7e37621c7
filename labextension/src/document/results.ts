/** Places result cells in a document and finds them there again. It knows no page, no kernel and no saving. */
import type { ISharedCodeCell } from '@jupyter/ydoc';
import type { ICell, IOutput } from '@jupyterlab/nbformat';
import type { PartialJSONObject } from '@lumino/coreutils';

import type { Cell, IMark, Notebook } from './mark';
import { asMark, deletedIn, gives, isEdited, KEY, keyOf, markOf, resultOf, succeed, sumOf } from './mark';
import type { IClaim, IGrant, INewCell, IOffer } from '../protocol';
import { putReply, takesReply } from './reply';

/** What the page knows of a cell and the document does not. */
export interface ICells {
  /** It runs, or waits in the queue for its turn: it must not be taken away. */
  isQueued(id: string): boolean;
  /** The person has the cursor in it. */
  isTouched(id: string): boolean;
  /** Whether its outputs are trusted. */
  isTrusted(id: string): boolean;
  trust(id: string): void;
}

/** A new cell with its mark. */
interface IPart {
  cell: INewCell;
  mark: IMark;
  /** The execution count that it shows. */
  count: number | null;
}

/** How the document stands to a result. */
export function standingOf(notebook: Notebook, uid: string, attempt: number): IClaim['standing'] {
  const isMine = (mark: IMark | null): boolean => mark?.uid === uid && mark.attempt === attempt;
  if (notebook.cells.some(cell => isMine(markOf(cell)))) {
    return 'present';
  }
  const result = resultOf({ uid, attempt });
  const isGone =
    deletedIn(notebook).some(key => key.startsWith(`${result}/`)) ||
    // A later run of its dispatching cell has taken its place: it had its time.
    notebook.cells.some(cell => markOf(cell)?.was?.includes(result) === true);
  return isGone ? 'deleted' : 'absent';
}

/** Whether it is a reply that is offered: it belongs into the very cell that it is for. */
export function isReply({ cell, into }: IOffer): boolean {
  return into !== '' && into === cell;
}

export function isAnchored(notebook: Notebook, offer: IOffer): boolean {
  if (isReply(offer)) {
    return takesReply(notebook.cells[indexOf(notebook, offer.into)]);
  }
  return indexOf(notebook, offer.cell) >= 0 || indexOf(notebook, offer.into) >= 0;
}

/** Put a granted result into the document, outside the undo stack. Returns the ids of the cells that hold it. */
export function insert(notebook: Notebook, grant: IGrant, cells: ICells): string[] {
  const placed: string[] = [];
  // One transaction for each step: the list of cells does not follow before a transaction ends.
  for (const part of missing(notebook, grant)) {
    const id = part.mark.kind === 'reply' ? answer(notebook, grant, part, cells) : place(notebook, grant, part, placed, cells);
    if (id !== '') {
      placed.push(id);
    }
  }
  if (grant.last) {
    removeLeftovers(notebook, grant, cells);
  }
  return placed;
}

/** The parts that are neither there nor deleted by the person. */
function missing(notebook: Notebook, grant: IGrant): IPart[] {
  const there = new Set(deletedIn(notebook));
  for (const cell of notebook.cells) {
    const mark = markOf(cell);
    if (mark !== null) {
      there.add(keyOf(mark));
    }
  }
  const parts = grant.cells.map((cell, part) => ({ cell, mark: marked(grant, cell, part), count: null }));
  return parts.filter(({ mark }) => !there.has(keyOf(mark)));
}

function marked(grant: IGrant, cell: INewCell, part: number): IMark {
  const given = (cell.metadata[KEY] ?? {}) as Partial<IMark>;
  const whole = asMark({ part, ...given, uid: grant.uid, attempt: grant.attempt }) as IMark;
  return { ...whole, cell: grant.cell, cohort: grant.cohort, sum: sumOf(cell.source) };
}

function place(notebook: Notebook, grant: IGrant, part: IPart, placed: readonly string[], cells: ICells): string {
  const into = indexOf(notebook, grant.into);
  if (placed.length === 0 && into >= 0 && mayTake(notebook.cells[into] as Cell, grant, part, cells)) {
    return fillInto(notebook, into, grant, part, cells);
  }
  const old = predecessor(notebook, part, cells);
  if (old >= 0) {
    const before = markOf(notebook.cells[old] as Cell) as IMark;
    return rewrite(notebook, old, { ...part, mark: succeed(part.mark, before) }, cells);
  }
  const index = indexBelow(notebook, grant.cell, placed);
  notebook.transact(() => notebook.insertCells(index, [asCell(part, part.cell.id)]), false);
  return part.cell.id;
}

/** Empty while the cell runs, or is to run, once more: what it shows then would go with what it showed before. */
function answer(notebook: Notebook, grant: IGrant, part: IPart, cells: ICells): string {
  const cell = notebook.cells[indexOf(notebook, grant.into)];
  if (cell === undefined || !takesReply(cell) || cells.isQueued(cell.id)) {
    return '';
  }
  putReply(notebook, cell, part.cell, part.mark);
  return cell.id;
}

// --- where a new cell goes

/** Below the part before it, else below the dispatching cell and its earlier results, else at the end. */
function indexBelow(notebook: Notebook, anchor: string, placed: readonly string[]): number {
  const before = indexOf(notebook, placed[placed.length - 1] ?? '');
  if (before >= 0) {
    return before + 1;
  }
  const anchored = indexOf(notebook, anchor);
  if (anchored < 0) {
    return notebook.cells.length;
  }
  let index = anchored + 1;
  while (index < notebook.cells.length && belongs(notebook.cells[index] as Cell, anchor)) {
    index += 1;
  }
  return index;
}

function belongs(cell: Cell, anchor: string): boolean {
  const mark = markOf(cell);
  return mark !== null && (mark.cell ?? anchor) === anchor;
}

function indexOf(notebook: Notebook, id: string): number {
  return id === '' ? -1 : notebook.cells.findIndex(cell => cell.id === id);
}

// --- the cell that a result is meant for

function mayTake(cell: Cell, grant: IGrant, part: IPart, cells: ICells): boolean {
  const mark = markOf(cell);
  if (mark !== null && mark.uid !== grant.uid && (mark.pinned === true || isEdited(cell, mark))) {
    return false;
  }
  return grant.filled || !mustSwap(cell, part, cells) || isFree(cell, cells);
}

/** The person wrote that cell: its source and its looks stay theirs. */
function fillInto(notebook: Notebook, index: number, grant: IGrant, part: IPart, cells: ICells): string {
  const cell = notebook.cells[index] as Cell;
  const before = markOf(cell);
  const mark = before === null ? part.mark : succeed(part.mark, before);
  if (!grant.filled && part.cell.cell_type === 'markdown') {
    return rewrite(notebook, index, { ...part, mark }, cells);
  }
  const source = cell.getSource();
  const summed = { ...mark, sum: sumOf(source) };
  if (grant.filled) {
    notebook.transact(() => cell.setMetadata(KEY, summed), false);
    return cell.id;
  }
  const kept: INewCell = { ...part.cell, source, metadata: { ...cell.getMetadata() } };
  const count = (cell as ISharedCodeCell).execution_count ?? null;
  return rewrite(notebook, index, { cell: kept, mark: summed, count }, cells);
}

// --- replacement: the result of a cell that is run again takes the place of its old one

/** A result cell of an earlier run of the dispatching cell that the person left as it was: its own first, then by name. */
function predecessor(notebook: Notebook, part: IPart, cells: ICells): number {
  const candidates = notebook.cells.filter(cell => {
    // Asked of few cells only: each question to the page takes as long as the notebook is.
    const mayWrite = (): boolean => isFree(cell, cells) || (!cells.isTouched(cell.id) && !mustSwap(cell, part, cells));
    return isOutdated(cell, part.mark) && mayWrite();
  });
  const samePart = candidates.filter(cell => markOf(cell)?.part === part.mark.part);
  const own = samePart.find(cell => markOf(cell)?.uid === part.mark.uid);
  const same = samePart.find(cell => markOf(cell)?.task === part.mark.task);
  const chosen = own ?? same ?? (part.mark.part === 0 ? samePart[0] : undefined);
  return chosen === undefined ? -1 : notebook.cells.indexOf(chosen);
}

function isOutdated(cell: Cell, next: IMark): boolean {
  const mark = markOf(cell);
  return mark !== null && gives(mark, next) && mark.pinned !== true && !isEdited(cell, mark);
}

/** Whether it can be taken away without stopping its run or moving the person's cursor. */
function isFree(cell: Cell, cells: ICells): boolean {
  return !cells.isQueued(cell.id) && !cells.isTouched(cell.id);
}

function removeLeftovers(notebook: Notebook, grant: IGrant, cells: ICells): void {
  const heir = notebook.cells.find(cell => {
    const mark = markOf(cell);
    return mark?.uid === grant.uid && mark.attempt === grant.attempt;
  });
  const next = heir === undefined ? null : markOf(heir);
  const left = notebook.cells.filter(cell => next !== null && isOutdated(cell, next) && isFree(cell, cells));
  if (heir === undefined || next === null || left.length === 0) {
    return;
  }
  const marks = left.map(cell => markOf(cell) as IMark);
  const mark = marks.reduce(succeed, next) as PartialJSONObject;
  const indices = left.map(cell => notebook.cells.indexOf(cell)).reverse();
  notebook.transact(() => {
    heir.setMetadata(KEY, mark);
    indices.forEach(index => notebook.deleteCell(index));
  }, false);
}

// --- writing over a cell; it keeps its id and its place

/** Another kind of cell is another cell. And trust reaches every page that has the document: it can't be taken back. */
function mustSwap(cell: Cell, { cell: next }: IPart, cells: ICells): boolean {
  const isTrusted = cells.isTrusted(cell.id) || cell.getMetadata('trusted') === true;
  return cell.cell_type !== next.cell_type || (next.cell_type === 'code' && isTrusted && !next.trusted);
}

function rewrite(notebook: Notebook, index: number, part: IPart, cells: ICells): string {
  const cell = notebook.cells[index] as Cell;
  const next = asCell(part, cell.id);
  const swaps = mustSwap(cell, part, cells);
  if (!swaps && cell.cell_type === 'code') {
    // By itself: a page that sees a text replaced by another in one step would add the one to the other.
    (cell as ISharedCodeCell).setOutputs([]);
  }
  notebook.transact(() => {
    if (swaps) {
      notebook.deleteCell(index);
      notebook.insertCells(index, [next]);
    } else {
      write(cell, next, part, cells);
    }
  }, false);
  return next.id;
}

function write(cell: Cell, next: ICell, { cell: { source, outputs, trusted }, count }: IPart, cells: ICells): void {
  if (trusted) {
    cells.trust(cell.id);
  }
  if (cell.getSource() !== source) {
    cell.setSource(source);
  }
  cell.setMetadata(next.metadata);
  if (cell.cell_type === 'code') {
    const code = cell as ISharedCodeCell;
    code.setOutputs(outputs as unknown as IOutput[]);
    code.execution_count = count;
  }
}

function asCell({ cell, mark, count }: IPart, id: string): ICell & { id: string } {
  const { trusted: _, ...metadata } = cell.metadata;
  const code = cell.cell_type === 'code';
  return {
    id,
    cell_type: cell.cell_type,
    source: cell.source,
    metadata: { ...metadata, ...(code && cell.trusted ? { trusted: true } : {}), [KEY]: mark },
    ...(code ? { outputs: cell.outputs, execution_count: count } : {})
  } as ICell & { id: string };
}
