/** Saves a notebook for the results that were put into it, and says which are safe. It knows no cell and no kernel. */
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';
import type { IDisposable } from '@lumino/disposable';

/** A result that is in the document. */
export interface IReceipt {
  uid: string;
  attempt: number;
}

/** As much of a document context as saving needs. */
export interface ISavable {
  readonly ready: Promise<void>;
  readonly saveState: ISignal<any, string>;
  readonly contentsModel: { writable?: boolean } | null;
  readonly model: { readonly readOnly: boolean; readonly collaborative?: boolean; readonly dirty: boolean };
  save(): Promise<void>;
}

/** The application's dialogs. */
export interface IDialogs {
  readonly isOpen: boolean;
  /** One was closed. */
  readonly closed: ISignal<any, void>;
}

/** What comes within this time is saved in one go, when it has been painted. */
const GATHER = 100;
const FIRST_PAUSE = 15_000;
const LONGEST_PAUSE = 300_000;

/** Acknowledges each result by a save that began after it was put in. */
export class Saver implements IDisposable {
  constructor(
    private readonly _context: ISavable,
    private readonly _dialogs: IDialogs,
    private readonly _holds: (receipt: IReceipt) => boolean,
    private readonly _safe: (receipt: IReceipt) => void
  ) {
    this._write = _context.save;
    _context.save = this._inTurn;
    _context.saveState.connect(this._onSaveState, this);
    _dialogs.closed.connect(this._onDialogClosed, this);
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    this._isDisposed = true;
    clearTimeout(this._timer);
    Signal.clearData(this);
    if (this._context.save === this._inTurn) {
      this._context.save = this._write;
    }
  }

  /** The document has changed by this result: acknowledge it when it is saved. */
  add(receipt: IReceipt): void {
    this._waiting.set(idOf(receipt), receipt);
    this._schedule(GATHER);
  }

  /** The document holds this result, perhaps since long ago. */
  confirm(receipt: IReceipt): void {
    const { collaborative, dirty } = this._context.model;
    if (!this._waiting.has(idOf(receipt)) && !dirty && collaborative !== true && !this._isSaving) {
      this._safe(receipt);
    } else {
      this.add(receipt);
    }
  }

  private _schedule(pause: number): void {
    if (this._isDisposed || this._mine !== null || this._declined || this._timer !== undefined) {
      return;
    }
    this._timer = setTimeout(() => {
      this._timer = undefined;
      void this._save();
    }, pause);
  }

  private async _save(): Promise<void> {
    await this._context.ready;
    if (this._isDisposed || this._waiting.size === 0 || this._mine !== null || this._declined) {
      return;
    }
    const { model, contentsModel } = this._context;
    if (model.collaborative === true) {
      this._settle([...this._waiting.values()]);
      return;
    }
    // Both end by themselves with a signal, or never: then nothing may be saved.
    if (this._dialogs.isOpen || this._isSaving || model.readOnly || contentsModel?.writable === false) {
      return;
    }
    const saved = [...this._waiting.values()];
    this._mine = this._write.call(this._context);
    try {
      await this._mine;
      this._failures = 0;
      this._mine = null;
      this._settle(saved);
      this._next(GATHER);
    } catch (reason) {
      this._mine = null;
      this._failed(reason);
    }
  }

  /**
   * A save by anybody else, who can't know that this one is under way: it comes after it.
   *
   * Until a save knows what it wrote, another would take that for somebody else's change and ask the person about it.
   */
  private _inTurn = async (): Promise<void> => {
    await this._mine?.catch(reason => {
      if (isDeclined(reason)) {
        throw reason; // the person has been asked, and need not be asked twice
      }
    });
    return this._write.call(this._context);
  };

  private _settle(saved: readonly IReceipt[]): void {
    for (const receipt of saved) {
      this._waiting.delete(idOf(receipt));
      // A save may end with the document read anew from the disk.
      if (!this._isDisposed && this._holds(receipt)) {
        this._safe(receipt);
      }
    }
  }

  private _failed(reason: unknown): void {
    if (isDeclined(reason)) {
      // The person was asked about a changed file and left it: they will save when they want to.
      this._isSaving = false;
      this._declined = true;
      return;
    }
    this._next(Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** this._failures));
    this._failures += 1;
  }

  private _next(pause: number): void {
    if (this._waiting.size > 0) {
      this._schedule(pause);
    }
  }

  private _onSaveState(_: unknown, state: string): void {
    this._isSaving = state === 'started';
    if (state.startsWith('completed')) {
      this._declined = false;
    }
    if (!this._isSaving && this._mine === null) {
      this._next(state === 'failed' ? FIRST_PAUSE : GATHER);
    }
  }

  private _onDialogClosed(): void {
    // A save that the person cancels in a dialog ends without another signal.
    this._isSaving = this._isSaving && this._mine !== null;
    this._next(GATHER);
  }

  private readonly _write: () => Promise<void>;
  private _waiting = new Map<string, IReceipt>();
  private _timer: ReturnType<typeof setTimeout> | undefined;
  private _mine: Promise<void> | null = null;
  private _isSaving = false;
  private _declined = false;
  private _failures = 0;
  private _isDisposed = false;
}

/** Whether the person was asked about a file that changed on disk, and left it. */
function isDeclined(reason: unknown): boolean {
  return ['ModalCancelError', 'ModalDuplicateError'].includes((reason as Error).name);
}

function idOf({ uid, attempt }: IReceipt): string {
  return `${uid}/${attempt}`;
}
