/** Gives each view of a notebook in each browser tab its client id, which outlives a reload. It knows no kernel. */
import { UUID } from '@lumino/coreutils';

import { tabStorage } from './shelf';

const TAB = 'jupyter-orchestra:tab';
const ALIVE = 'jupyter-orchestra:alive';

type TabStorage = Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>;

/**
 * The id of this tab.
 *
 * A page that goes takes its mark of life along. A duplicated tab starts with a copy of the storage, mark included: by
 * that it knows that the id is another's, and takes a new one.
 */
export function tabId(storage: TabStorage | null, events: Pick<Window, 'addEventListener'>): string {
  if (storage === null) {
    return UUID.uuid4();
  }
  const kept = storage.getItem(ALIVE) === null ? storage.getItem(TAB) : null;
  const id = kept ?? UUID.uuid4();
  const live = (): void => {
    storage.setItem(TAB, id);
    storage.setItem(ALIVE, '1');
  };
  live();
  events.addEventListener('pagehide', () => storage.removeItem(ALIVE));
  events.addEventListener('pageshow', live);
  return id;
}

/** Hands out client ids: the same one to the same notebook after a reload, another to each further view of it. */
export class Clients {
  constructor(private readonly _tab: string) {}

  take(path: string): string {
    for (let view = 0; ; view++) {
      const id = `${this._tab}:${view}:${path}`;
      if (!this._taken.has(id)) {
        this._taken.add(id);
        return id;
      }
    }
  }

  give(id: string): void {
    this._taken.delete(id);
  }

  private _taken = new Set<string>();
}

let clients: Clients | null = null;

/** The client ids of this page. */
export function clientsOfPage(): Clients {
  clients ??= new Clients(tabId(tabStorage, window));
  return clients;
}
