/** What the page knows of the orchestras of its open notebooks. It knows no DOM, no comm and no widget. */
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import { Composing } from './composing';
import type {
  IAnswer,
  ICard,
  IChanges,
  ILack,
  ILeasePicture,
  ISnapshot,
  ITurn,
  State,
  ToKernel,
  ToPage
} from './protocol';

/**
 * How a notebook's kernel and this page stand to each other.
 *
 * - `none`: no kernel; `connecting`: being looked for; `unloaded`: the kernel has no extension loaded;
 * - `ready`; `mismatch`: another version; `lost`: the kernel is restarting, dead or disconnected.
 */
export type Standing = 'none' | 'connecting' | 'unloaded' | 'ready' | 'mismatch' | 'lost';

/** The groups of the sidebar, in their order. */
export type Group = 'needs-you' | 'running' | 'waiting' | 'finished';
export const GROUPS: readonly Group[] = ['needs-you', 'running', 'waiting', 'finished'];

export const ENDED: ReadonlySet<State> = new Set<State>(['done', 'failed', 'cancelled', 'lost']);

/** A request that is answered. */
export type Asked = Extract<ToKernel, { request: string }>;
/** The same, before it has its number. */
export type Question = Asked extends infer T ? (T extends Asked ? Omit<T, 'request'> : never) : never;

const NOTHING_LEASED: ILeasePicture = { resources: [], more: 0, lacks: [] };

export function hasEnded(card: Pick<ICard, 'state'>): boolean {
  return ENDED.has(card.state);
}

export function groupOf(card: ICard): Group {
  if (card.needs_you !== '') {
    return 'needs-you';
  }
  if (hasEnded(card)) {
    return 'finished';
  }
  return card.state === 'running' ? 'running' : 'waiting';
}

/** Seconds that the present attempt has run at `now` (kernel's clock); 0 before it starts. */
export function elapsed(card: ICard, now: number): number {
  if (card.started_at === null) {
    return 0;
  }
  const until = card.ended_at ?? card.paused_at ?? now;
  return Math.max(0, until - card.started_at - card.held);
}

/** The orchestra of one open notebook. */
export class NotebookModel {
  readonly cards = new Map<string, ICard>();
  /** Where the person types a message to the master. */
  readonly composing = new Composing(on => this.tell({ type: 'Composing', on }));
  standing: Standing = 'none';
  /** What the person should know of the standing, in one line. */
  message = '';
  /** Whether the kernel has subshells; null while unknown. Without them cells and clicks wait for the running cell. */
  subshells: boolean | null = null;
  version = '';
  workers: readonly string[] = [];
  isPrivate = false;
  blocked = '';
  /** Who answers, in one line. */
  master = '';
  /** The newest turn of the master. */
  turn: ITurn | null = null;
  /** Who holds what is leased, and who waits for it. */
  leases: ILeasePicture = NOTHING_LEASED;

  constructor(
    readonly id: string,
    public path: string
  ) {}

  /** Something that a person may see has changed. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** Every message of the kernel, after it was taken in. */
  get said(): ISignal<this, ToPage> {
    return this._said;
  }

  /** Why a task waits for leases, as far as that is known; the same object until it changes. */
  lackOf(uid: string): ILack | null {
    return this.leases.lacks.find(lack => lack.uid === uid) ?? null;
  }

  /** Now, by the kernel's clock, in POSIX seconds. */
  now(): number {
    return Date.now() / 1000 + this._ahead;
  }

  stand(standing: Standing, message = ''): void {
    this.standing = standing;
    this.message = message;
    if (standing === 'none' || standing === 'unloaded') {
      this.cards.clear();
      this.turn = null;
      this.master = '';
      this.leases = NOTHING_LEASED;
    }
    if (standing !== 'ready') {
      this._giveUp(message);
    }
    this._changed.emit();
  }

  rename(path: string): void {
    this.path = path;
    this._changed.emit();
  }

  /** Take a message in. Says whether the page has missed one and needs a new snapshot. */
  take(message: ToPage): boolean {
    let missed = false;
    switch (message.type) {
      case 'Snapshot':
        this._replace(message);
        break;
      case 'Changes':
        missed = !this._update(message);
        break;
      case 'Mismatch':
        this.version = message.version;
        this.stand('mismatch', message.message);
        break;
      case 'Answer':
        this._settle(message);
        break;
    }
    this._said.emit(message);
    return missed;
  }

  /** How messages leave; set by whoever holds the comm. */
  connect(send: ((message: ToKernel) => void) | null): void {
    this._send = send;
  }

  /** Say something. Says whether anyone is there to hear it. */
  tell(message: ToKernel): boolean {
    if (this._send === null) {
      return false;
    }
    this._send(message);
    return true;
  }

  /** Ask for something; the answer comes with `ok` false, and no message, where nobody hears it. */
  ask(question: Question): Promise<IAnswer> {
    const request = `r${++this._requests}`;
    return new Promise(resolve => {
      this._open.set(request, resolve);
      if (!this.tell({ ...question, request } as Asked)) {
        this._settle({ type: 'Answer', request, ok: false, message: '', uids: [], names: [] });
      }
    });
  }

  private _replace(message: ISnapshot): void {
    this._seq = message.seq;
    this._ahead = message.now - Date.now() / 1000;
    this.version = message.version;
    this.isPrivate = message.private;
    this.blocked = message.blocked;
    this.workers = message.workers;
    this.master = message.master;
    this.turn = message.turn;
    this.leases = message.leases;
    this.cards.clear();
    for (const card of message.cards) {
      this.cards.set(card.uid, card);
    }
    this.stand('ready');
  }

  private _update(message: IChanges): boolean {
    if (message.seq !== this._seq + 1) {
      return false;
    }
    this._seq = message.seq;
    this.blocked = message.blocked;
    this.master = message.master ?? this.master;
    this.turn = message.turn ?? this.turn;
    this.leases = message.leases ?? this.leases;
    for (const card of message.cards) {
      this.cards.set(card.uid, card);
    }
    for (const uid of message.gone) {
      this.cards.delete(uid);
    }
    this._changed.emit();
    return true;
  }

  private _settle(answer: IAnswer): void {
    const resolve = this._open.get(answer.request);
    this._open.delete(answer.request);
    resolve?.(answer);
  }

  private _giveUp(why: string): void {
    for (const request of [...this._open.keys()]) {
      this._settle({ type: 'Answer', request, ok: false, message: why, uids: [], names: [] });
    }
  }

  private _send: ((message: ToKernel) => void) | null = null;
  private _open = new Map<string, (answer: IAnswer) => void>();
  private _requests = 0;
  private _seq = 0;
  private _ahead = 0;
  private _changed = new Signal<this, void>(this);
  private _said = new Signal<this, ToPage>(this);
}

/** The orchestras of all open notebooks, and which of them is in front. */
export class OrchestraModel {
  /** Something in one of the notebooks, or which is in front, has changed. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get notebooks(): readonly NotebookModel[] {
    return this._notebooks;
  }

  get current(): NotebookModel | null {
    return this._current;
  }

  setCurrent(notebook: NotebookModel | null): void {
    if (notebook !== this._current) {
      this._current = notebook;
      this._changed.emit();
    }
  }

  add(notebook: NotebookModel): void {
    this._notebooks = [...this._notebooks, notebook];
    notebook.changed.connect(this._emit, this);
    this._changed.emit();
  }

  remove(notebook: NotebookModel): void {
    this._notebooks = this._notebooks.filter(other => other !== notebook);
    notebook.changed.disconnect(this._emit, this);
    if (this._current === notebook) {
      this._current = null;
    }
    this._changed.emit();
  }

  /** The notebook that knows this task, and its card. */
  find(uid: string): { notebook: NotebookModel; card: ICard } | null {
    for (const notebook of this._notebooks) {
      const card = notebook.cards.get(uid);
      if (card !== undefined) {
        return { notebook, card };
      }
    }
    return null;
  }

  /** How many tasks of all notebooks are in each group; tasks of two views of one kernel count once. */
  count(): Record<Group, number> {
    const counts: Record<Group, number> = { 'needs-you': 0, running: 0, waiting: 0, finished: 0 };
    const seen = new Set<string>();
    for (const notebook of this._notebooks) {
      for (const card of notebook.cards.values()) {
        if (!seen.has(card.uid)) {
          seen.add(card.uid);
          counts[groupOf(card)] += 1;
        }
      }
    }
    return counts;
  }

  private _emit(): void {
    this._changed.emit();
  }

  private _notebooks: readonly NotebookModel[] = [];
  private _current: NotebookModel | null = null;
  private _changed = new Signal<this, void>(this);
}
