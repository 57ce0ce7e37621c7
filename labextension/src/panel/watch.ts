/** Follows one task for its panel: its card, its detail and its outputs in order. It knows no DOM. */
import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { NotebookModel, OrchestraModel } from '../model';
import { hasEnded } from '../model';
import type { ICard, IDetail, ILack, IOutput, ITerminal, ToPage } from '../protocol';

/** An output as nbformat has it; live ones are also `update_display_data` and `clear_output`. */
export type Output = IDetail['outputs'][number];

/**
 * Where the followed task is.
 *
 * - `here`: its kernel speaks; `away`: the kernel does not, what is known is from before;
 * - `forgotten`: the kernel knows it no longer; `closed`: its notebook is closed.
 */
export type Whereabouts = 'here' | 'away' | 'forgotten' | 'closed';

/** Outputs that came: all of them anew (`fresh`), or more; `skipped` ones before them are not known. */
export interface INews {
  fresh: boolean;
  skipped: number;
  outputs: readonly Output[];
}

/** What a terminal shows: all that is known of it (`fresh`), or more. */
export interface IShown {
  fresh: boolean;
  text: string;
}

/** One task, as long as someone looks at it. */
export class TaskWatch implements IDisposable {
  card: ICard | null = null;
  detail: IDetail | null = null;
  /** Why it waits for leases, as far as that is known. */
  lack: ILack | null = null;
  whereabouts: Whereabouts = 'closed';

  constructor(
    private _orchestra: OrchestraModel,
    readonly uid: string
  ) {
    this._orchestra.changed.connect(this._look, this);
    this._look();
  }

  /** The notebook that it belongs to; null when none that is open ever knew it. */
  get notebook(): NotebookModel | null {
    return this._notebook;
  }

  /** The card, the detail, the whereabouts or why it waits have changed. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** Outputs have come, in their order and each once. */
  get came(): ISignal<this, INews> {
    return this._came;
  }

  /** Its terminal shows more. */
  get showed(): ISignal<this, IShown> {
    return this._showed;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    if (this._isDisposed) {
      return;
    }
    this._isDisposed = true;
    this._orchestra.changed.disconnect(this._look, this);
    this._leave();
    Signal.clearData(this);
  }

  /** Find the task again: notebooks come and go, and so do cards. */
  private _look(): void {
    const notebook = this._find();
    if (notebook !== null && notebook !== this._notebook) {
      this._follow(notebook);
    }
    const card = notebook?.cards.get(this.uid);
    const whereabouts = this._locate(notebook, card !== undefined);
    const lack = notebook?.lackOf(this.uid) ?? null;
    const isSame = lack === this.lack && (card === undefined || card === this.card);
    if (whereabouts === this.whereabouts && isSame) {
      return;
    }
    this.lack = lack;
    this.whereabouts = whereabouts;
    this.card = card ?? this.card;
    this._changed.emit();
  }

  private _find(): NotebookModel | null {
    const mine = this._notebook !== null && this._orchestra.notebooks.includes(this._notebook) ? this._notebook : null;
    return mine?.cards.has(this.uid) ? mine : this._orchestra.find(this.uid)?.notebook ?? mine;
  }

  private _locate(notebook: NotebookModel | null, known: boolean): Whereabouts {
    if (notebook === null) {
      return 'closed';
    }
    if (notebook.standing !== 'ready') {
      return 'away';
    }
    return known ? 'here' : 'forgotten';
  }

  private _follow(notebook: NotebookModel): void {
    this._leave();
    this._notebook = notebook;
    notebook.said.connect(this._hear, this);
    if (notebook.standing === 'ready') {
      this._ask();
    }
  }

  private _leave(): void {
    this._notebook?.said.disconnect(this._hear, this);
    this._notebook?.tell({ type: 'Watch', task: this.uid, on: false });
  }

  private _ask(): void {
    this._asked = true;
    this._notebook?.tell({ type: 'Watch', task: this.uid });
  }

  private _hear(_: NotebookModel, message: ToPage): void {
    if (message.type === 'Snapshot') {
      // It opens every attachment: the kernel, or this page's comm, may be another one and know of no panel.
      if (message.cards.some(card => card.uid === this.uid)) {
        this._ask();
      }
    } else if (message.type === 'Detail' && message.uid === this.uid) {
      this._explain(message);
    } else if (message.type === 'Output' && message.uid === this.uid) {
      this._append(message);
    } else if (message.type === 'Terminal' && message.uid === this.uid) {
      this._show(message);
    }
  }

  private _explain(detail: IDetail): void {
    this._asked = false;
    const last = detail.story[detail.story.length - 1];
    const isOver = last !== undefined && hasEnded(last);
    const isSame = this.detail !== null && detail.attempt === this.detail.attempt;
    // An end without a result (cancelled, say) leaves what came live, of which nothing is kept elsewhere.
    const goesOn = isSame && (isOver ? detail.outputs.length === 0 : !this._hasEnded);
    this.detail = detail;
    this._hasEnded = isOver;
    this._changed.emit();
    if (goesOn) {
      this._add(detail.first, detail.outputs);
    } else {
      this._next = detail.first + detail.outputs.length;
      this._came.emit({ fresh: true, skipped: detail.first, outputs: detail.outputs });
    }
  }

  private _append(message: IOutput): void {
    const isExpected = this.detail !== null && message.attempt === this.detail.attempt && !this._hasEnded;
    if (isExpected && !this._asked) {
      this._add(message.index, message.outputs);
    }
  }

  private _show({ attempt, start, end, text }: ITerminal): void {
    const fresh = attempt !== this._shown.attempt || start !== this._shown.end;
    this._shown = { attempt, end };
    this._showed.emit({ fresh, text });
  }

  private _add(index: number, outputs: readonly Output[]): void {
    const skipped = Math.max(0, index - this._next);
    const fresh = outputs.slice(Math.max(0, this._next - index));
    this._next = Math.max(this._next, index + outputs.length);
    if (fresh.length > 0 || skipped > 0) {
      this._came.emit({ fresh: false, skipped, outputs: fresh });
    }
  }

  private _notebook: NotebookModel | null = null;
  private _next = 0; // index of the output that comes next
  private _hasEnded = false; // then the outputs are the result's, which are counted otherwise
  private _shown = { attempt: 0, end: 0 }; // of its terminal
  private _asked = false; // until the detail comes, what else comes is in it
  private _isDisposed = false;
  private _changed = new Signal<this, void>(this);
  private _came = new Signal<this, INews>(this);
  private _showed = new Signal<this, IShown>(this);
}
