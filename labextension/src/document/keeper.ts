/** Watches a document: remembers which results the person deleted, and removes doubles. It knows no kernel, no page. */
import type { NotebookChange } from '@jupyter/ydoc';
import { Signal } from '@lumino/signaling';
import type { IDisposable } from '@lumino/disposable';

import type { Cell, Notebook } from './mark';
import { deletedIn, KEY, keyOf, markOf, setDeleted } from './mark';

/** As much of a Yjs document as tells who made a change. */
interface IYDocument {
  on(event: 'beforeObserverCalls', handler: (transaction: { local: boolean }) => void): void;
  off(event: 'beforeObserverCalls', handler: (transaction: { local: boolean }) => void): void;
}

/** Ids of result cells that a page inserted begin so; a copy that the person made has another. */
const OURS = /^jo-/;

/** Keeps the marks and tombstones of one notebook in order. */
export class Keeper implements IDisposable {
  constructor(private readonly _notebook: Notebook) {
    this._document = (_notebook as unknown as { ydoc?: IYDocument }).ydoc;
    this._document?.on('beforeObserverCalls', this._onTransaction);
    _notebook.changed.connect(this._onChanged, this);
    this._look();
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    if (!this._isDisposed) {
      this._isDisposed = true;
      this._document?.off('beforeObserverCalls', this._onTransaction);
      Signal.clearData(this);
    }
  }

  /** Change the document without its being taken for the person's doing. */
  own<T>(change: () => T): T {
    this._own = true;
    try {
      return change();
    } finally {
      this._own = false;
    }
  }

  private _onTransaction = ({ local }: { local: boolean }): void => {
    this._local = local;
  };

  private _onChanged(_: unknown, { cellsChange }: NotebookChange): void {
    if (cellsChange === undefined) {
      return;
    }
    const [keys, ids] = [this._keys, this._ids];
    this._look();
    if (this._own) {
      return;
    }
    const inserted = cellsChange.flatMap(change => change.insert ?? []) as Cell[];
    const removed = cellsChange.reduce((sum, change) => sum + (change.delete ?? 0), 0);
    if (this._local && !isReload(ids, inserted, removed)) {
      this._note(keys);
      inserted.forEach(cell => this._copies.add(cell.id));
    }
    this._tidy();
  }

  /** A result may have been put into a cell that was there. */
  private _onMetadata(_: unknown, { key }: { key: string }): void {
    if (key === KEY) {
      this._look();
    }
  }

  /** The document is in the midst of a change now: what follows from it is done after it. */
  private _note(before: ReadonlySet<string>): void {
    for (const key of before) {
      if (!this._keys.has(key)) {
        this._changes.set(key, 'deleted');
      }
    }
    for (const key of this._keys) {
      if (!before.has(key)) {
        this._changes.set(key, 'back');
      }
    }
  }

  private _tidy(): void {
    if (this._tidying) {
      return;
    }
    this._tidying = true;
    queueMicrotask(() => {
      this._tidying = false;
      const [changes, copies] = [this._changes, this._copies];
      [this._changes, this._copies] = [new Map(), new Set()];
      if (!this._isDisposed) {
        this.own(() => {
          this._bury(changes);
          this._removeDoubles(copies);
        });
      }
    });
  }

  private _bury(changes: ReadonlyMap<string, 'deleted' | 'back'>): void {
    const before = deletedIn(this._notebook);
    const kept = before.filter(key => !changes.has(key));
    const gone = [...changes].filter(([, change]) => change === 'deleted').map(([key]) => key);
    if (gone.length > 0 || kept.length < before.length) {
      setDeleted(this._notebook, [...kept, ...gone]);
    }
  }

  /** Two pages that inserted at once leave two: the first stays. A copy that the person made loses its mark instead. */
  private _removeDoubles(copies: ReadonlySet<string>): void {
    const doubles = this._doubles(copies);
    if (doubles.length === 0) {
      return;
    }
    this._notebook.transact(() => {
      for (const { cell, isCopy } of doubles) {
        if (isCopy) {
          cell.deleteMetadata(KEY);
        } else {
          this._notebook.deleteCell(this._notebook.cells.indexOf(cell));
        }
      }
    }, false);
    this._look();
  }

  private _doubles(copies: ReadonlySet<string>): { cell: Cell; isCopy: boolean }[] {
    const kept = new Map<string, Cell>();
    const doubles: { cell: Cell; isCopy: boolean }[] = [];
    // What was there before comes first, so that it is the copy which goes.
    const isCopy = (cell: Cell): boolean => copies.has(cell.id);
    const cells = [...this._notebook.cells.filter(cell => !isCopy(cell)), ...this._notebook.cells.filter(isCopy)];
    for (const cell of cells) {
      const mark = markOf(cell);
      const first = mark === null ? undefined : kept.get(keyOf(mark));
      if (mark !== null && first === undefined) {
        kept.set(keyOf(mark), cell);
      } else if (first !== undefined && isCopy(cell)) {
        doubles.push({ cell, isCopy: true });
      } else if (first !== undefined && (first.id === cell.id || (OURS.test(first.id) && OURS.test(cell.id)))) {
        doubles.push({ cell, isCopy: false });
      }
    }
    return doubles;
  }

  private _look(): void {
    this._keys = new Set();
    this._ids = new Set();
    for (const cell of this._notebook.cells) {
      const mark = markOf(cell);
      this._ids.add(cell.id);
      cell.metadataChanged.connect(this._onMetadata, this);
      if (mark !== null) {
        this._keys.add(keyOf(mark));
      }
    }
  }

  private readonly _document: IYDocument | undefined;
  private _keys = new Set<string>();
  private _ids = new Set<string>();
  private _changes = new Map<string, 'deleted' | 'back'>();
  private _copies = new Set<string>();
  private _tidying = false;
  private _local = true;
  private _own = false;
  private _isDisposed = false;
}

/** Whether the whole document was read anew: what is missing then was not deleted by anybody here. */
function isReload(before: ReadonlySet<string>, inserted: readonly Cell[], removed: number): boolean {
  // A person who deletes all cells is left with one new, empty cell.
  return removed > 0 && removed === before.size && (inserted.length > 1 || inserted.some(cell => before.has(cell.id)));
}
