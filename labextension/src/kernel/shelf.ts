/** Keeps ids over a reload, for all tabs of this browser: of subshells, of cells. It knows no kernel. */

/** Where ids are kept, by kernel and by what each is for. */
export interface IShelf {
  get(kernelId: string, purpose: string): string | null;
  set(kernelId: string, purpose: string, id: string): void;
}

type Kept = Record<string, Record<string, string>>;

const SUBSHELLS = 'jupyter-orchestra:subshells';
const CELLS = 'jupyter-orchestra:server-runs';
/** Kernels end without a word to the page: the oldest make room. */
const LIMIT = 50;
/** So do the oldest ids of one kernel. */
const IDS_LIMIT = 200;

/** A shelf in the browser's storage; without storage it forgets at a reload, which costs one subshell. */
export class StorageShelf implements IShelf {
  constructor(
    private readonly _storage: Pick<Storage, 'getItem' | 'setItem'> | null,
    private readonly _key = SUBSHELLS
  ) {}

  get(kernelId: string, purpose: string): string | null {
    const id = this._read()[kernelId]?.[purpose];
    return typeof id === 'string' ? id : null;
  }

  set(kernelId: string, purpose: string, id: string): void {
    const { [kernelId]: mine = {}, ...others } = this._read();
    const kept = Object.entries(others).slice(-(LIMIT - 1));
    const ids = Object.entries(mine).filter(([other]) => other !== purpose);
    const fresh = Object.fromEntries([...ids.slice(-(IDS_LIMIT - 1)), [purpose, id]]);
    const all = Object.fromEntries([...kept, [kernelId, fresh]]);
    try {
      this._storage?.setItem(this._key, JSON.stringify(all));
    } catch {
      // The storage is full or closed to us.
    }
  }

  private _read(): Kept {
    try {
      const kept: unknown = JSON.parse(this._storage?.getItem(this._key) ?? '{}');
      return typeof kept === 'object' && kept !== null && !Array.isArray(kept) ? (kept as Kept) : {};
    } catch {
      return {};
    }
  }
}

function storageOf(name: 'localStorage' | 'sessionStorage'): Storage | null {
  try {
    return window[name];
  } catch {
    return null;
  }
}

/** What the browser keeps under a key, as far as it lets us look. */
export function readStorage(name: 'localStorage' | 'sessionStorage', key: string): string | null {
  return storageOf(name)?.getItem(key) ?? null;
}

export const shelf: IShelf = new StorageShelf(storageOf('localStorage'));
/** Which cell a request was for that the server sent. */
export const serverRuns: IShelf = new StorageShelf(storageOf('localStorage'), CELLS);
export const tabStorage = storageOf('sessionStorage');
