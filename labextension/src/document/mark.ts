/** Reads and writes what our cells and notebooks carry in their metadata. It knows no page and no kernel. */
import type { INotebookModel } from '@jupyterlab/notebook';

/** A notebook's shared document. */
export type Notebook = INotebookModel['sharedModel'];
export type Cell = Notebook['cells'][number];

/** Where our metadata stands, in cells and in the notebook. */
export const KEY = 'orchestra';
/** Tombstones are kept up to this number; the oldest go first. */
export const DELETED_LIMIT = 500;
/** So many results that a cell's own took the place of are remembered; only what is not yet acknowledged matters. */
export const REPLACED_LIMIT = 64;

/** What marks a cell as a result cell. */
export interface IMark {
  task: string;
  uid: string;
  attempt: number;
  part: number;
  /** `code`, `agent`, `master` or `reply`. */
  kind?: string;
  /** The dispatching cell and the cohort, by which a later result finds the cell that it replaces. */
  cell?: string;
  cohort?: string;
  /** When the task was dispatched, POSIX seconds: of two runs of one cell the later one wins. */
  at?: number;
  /** The sum of the source as it was inserted. */
  sum?: string;
  /** The results that this one took the place of, oldest first, each as `uid/attempt`. */
  was?: string[];
  pinned?: boolean;
  [other: string]: unknown;
}

export function asMark(value: unknown): IMark | null {
  const mark = value as Partial<IMark> | null | undefined;
  const whole =
    typeof mark === 'object' &&
    mark !== null &&
    typeof mark.uid === 'string' &&
    typeof mark.attempt === 'number' &&
    typeof mark.part === 'number';
  if (!whole) {
    return null;
  }
  const was = Array.isArray(mark.was) ? { was: mark.was.map(String) } : {};
  return { ...mark, task: String(mark.task ?? ''), ...was } as IMark;
}

export function markOf(cell: Cell): IMark | null {
  return asMark(cell.getMetadata(KEY));
}

/** What a part of a result is known by, never its name: names come again. */
export function keyOf({ uid, attempt, part }: { uid: string; attempt: number; part: number }): string {
  return `${uid}/${attempt}/${part}`;
}

export function resultOf({ uid, attempt }: { uid: string; attempt: number }): string {
  return `${uid}/${attempt}`;
}

/** What a cell remembers when it takes the place of another. */
export function succeed(mark: IMark, old: IMark): IMark {
  const was = [...(old.was ?? []), resultOf(old), ...(mark.was ?? [])].filter(result => result !== resultOf(mark));
  return { ...mark, was: [...new Set(was)].slice(-REPLACED_LIMIT) };
}

/** Results take the place of results, the master's words that of the master's words. */
function familyOf({ kind }: IMark): string {
  return kind === 'master' || kind === 'reply' ? kind : 'result';
}

/** Whether a result leaves another's place to it: a later attempt, or a later run of the dispatching cell, does. */
export function gives(old: IMark, next: IMark): boolean {
  if (familyOf(old) !== familyOf(next)) {
    return false;
  }
  if (old.uid === next.uid) {
    return old.attempt < next.attempt;
  }
  const isSameCell = old.cell !== undefined && old.cell !== '' && old.cell === next.cell;
  return isSameCell && old.cohort !== next.cohort && (old.at ?? 0) <= (next.at ?? Infinity);
}

/** A short sum of a source (FNV-1a), to tell whether the person has changed it. */
export function sumOf(source: string): string {
  let hash = 0x811c9dc5;
  for (let index = 0; index < source.length; index++) {
    hash = Math.imul(hash ^ source.charCodeAt(index), 0x01000193);
  }
  return `${(hash >>> 0).toString(16)}.${source.length}`;
}

/** Whether the person changed the source of a result cell. One without a sum may hold their words: it counts so. */
export function isEdited(cell: Cell, mark: IMark): boolean {
  return mark.sum !== sumOf(cell.getSource());
}

/** The keys of what the person deleted, oldest first. */
export function deletedIn(notebook: Notebook): string[] {
  const kept = ours(notebook)['deleted'];
  return Array.isArray(kept) ? kept.filter((key): key is string => typeof key === 'string') : [];
}

export function setDeleted(notebook: Notebook, keys: readonly string[]): void {
  const { deleted: _, ...others } = ours(notebook);
  const deleted = keys.slice(-DELETED_LIMIT);
  notebook.transact(() => {
    if (deleted.length > 0) {
      notebook.setMetadata(KEY, { ...others, deleted });
    } else if (Object.keys(others).length > 0) {
      notebook.setMetadata(KEY, others);
    } else {
      notebook.deleteMetadata(KEY);
    }
  }, false);
}

function ours(notebook: Notebook): Record<string, any> {
  const value = notebook.getMetadata(KEY);
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {};
}
