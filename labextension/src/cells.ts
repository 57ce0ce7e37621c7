/** Owns the result cells of one notebook: answers offers, inserts grants, says when they are safe. It picks no place. */
import { Dialog } from '@jupyterlab/apputils';
import type { Cell, ICellModel, ICodeCellModel } from '@jupyterlab/cells';
import { MarkdownCell } from '@jupyterlab/cells';
import type { NotebookPanel } from '@jupyterlab/notebook';
import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import { ServerRuns } from './kernel/elsewhere';
import { Keeper } from './document/keeper';
import type { Notebook } from './document/mark';
import type { NotebookModel } from './model';
import type { IGrant, IOffer, ToPage } from './protocol';
import type { ICells } from './document/results';
import { insert, isAnchored, isReply, standingOf } from './document/results';
import type { IDialogs, IReceipt } from './document/saver';
import { Saver } from './document/saver';

/** Keeps the result cells of one notebook. */
export class ResultCells implements IDisposable {
  constructor(
    private readonly _panel: NotebookPanel,
    private readonly _model: NotebookModel
  ) {
    this._saver = new Saver(
      _panel.context as any,
      dialogs,
      // What a later result replaced meanwhile, or the person deleted, is settled too.
      ({ uid, attempt }) => this._notebook !== null && standingOf(this._notebook, uid, attempt) !== 'absent',
      ({ uid, attempt }) => this._model.tell({ type: 'Ack', uid, attempt })
    );
    _model.said.connect(this._onSaid, this);
    void _panel.context.ready.then(() => {
      const notebook = this._notebook;
      if (!this._isDisposed && notebook !== null) {
        this._keeper = new Keeper(notebook);
      }
    });
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    this._isDisposed = true;
    Signal.clearData(this);
    this._saver.dispose();
    this._keeper?.dispose();
  }

  private get _notebook(): Notebook | null {
    return this._panel.isDisposed ? null : (this._panel.model?.sharedModel ?? null);
  }

  private _onSaid(_: unknown, message: ToPage): void {
    if (message.type === 'Offer') {
      this._claim(this._located(message));
    } else if (message.type === 'Grant') {
      this._insert(this._located(message));
    }
  }

  /** What the server ran for this page came to the kernel without the cell's name. */
  private _located<T extends IOffer | IGrant>(message: T): T {
    const kernel = this._panel.sessionContext.session?.kernel;
    if (message.cell !== '' || !kernel) {
      return message;
    }
    const cell = ServerRuns.of(kernel).cellOf(message.cohort);
    return { ...message, cell, into: message.into === ITSELF ? cell : message.into };
  }

  private _claim(offer: IOffer): void {
    const notebook = this._notebook;
    // Until the document is read nobody can say what it holds; the kernel offers again.
    if (notebook === null || this._keeper === null) {
      return;
    }
    // A reply is for a cell that has run; while it runs again the kernel offers again.
    if (isReply(offer) && new PanelCells(this._panel).isQueued(offer.into)) {
      return;
    }
    const { uid, attempt, round } = offer;
    const standing = standingOf(notebook, uid, attempt);
    this._model.tell({ type: 'Claim', uid, attempt, standing, anchored: isAnchored(notebook, offer), round });
    if (standing === 'present') {
      this._saver.confirm({ uid, attempt });
    }
  }

  private _insert(grant: IGrant): void {
    const notebook = this._notebook;
    if (notebook === null || this._keeper === null) {
      return;
    }
    const receipt: IReceipt = { uid: grant.uid, attempt: grant.attempt };
    const cells = new PanelCells(this._panel);
    const keeper = this._keeper;
    const placed = cells.hold(() => keeper.own(() => insert(notebook, grant, cells)));
    cells.settle(placed);
    if (standingOf(notebook, grant.uid, grant.attempt) !== 'present') {
      return;
    }
    if (placed.length > 0) {
      this._saver.add(receipt);
    } else {
      this._saver.confirm(receipt);
    }
  }

  private readonly _saver: Saver;
  private _keeper: Keeper | null = null;
  private _isDisposed = false;
}

/** In place of a cell: the one that spoke to the master. */
const ITSELF = 'itself';

/** The cells of a panel around one insertion: what the person has in hand stays there. */
class PanelCells implements ICells {
  constructor(private readonly _panel: NotebookPanel) {
    this._active = _panel.content.activeCell?.model.id ?? null;
  }

  isQueued(id: string): boolean {
    const model = this._find(id);
    return model?.type === 'code' && (model as ICodeCellModel).executionState === 'running';
  }

  isTouched(id: string): boolean {
    return id === this._active && this._panel.content.mode === 'edit';
  }

  isTrusted(id: string): boolean {
    return this._find(id)?.trusted === true;
  }

  trust(id: string): void {
    const model = this._find(id);
    if (model !== undefined) {
      model.trusted = true;
    }
  }

  /**
   * Change the document and no selection. When the active cell moves by a place, JupyterLab goes through the editors of
   * all others to take their selections away: nobody selected anything, and that takes as long as the notebook is.
   */
  hold<T>(change: () => T): T {
    const content = this._panel.content as unknown as { _trimSelections?: () => void };
    content._trimSelections = () => undefined;
    try {
      return change();
    } finally {
      delete content._trimSelections; // that of its class is there again
    }
  }

  /** After the insertion: text is shown rendered, and the active cell is the one that it was. */
  settle(placed: readonly string[]): void {
    const { widgets } = this._panel.content;
    for (const widget of widgets as readonly Cell[]) {
      if (widget instanceof MarkdownCell && placed.includes(widget.model.id) && widget.model.id !== this._active) {
        widget.rendered = true;
      }
    }
    const index = widgets.findIndex(widget => widget.model.id === this._active);
    if (index >= 0 && index !== this._panel.content.activeCellIndex) {
      this._panel.content.activeCellIndex = index;
    }
  }

  private _find(id: string): ICellModel | undefined {
    const cells = this._panel.content.model?.cells;
    return cells === undefined ? undefined : [...cells].find(cell => cell.id === id);
  }

  private readonly _active: string | null;
}

/** JupyterLab's dialogs: while one is open nothing is saved, for it may be about saving. */
class AppDialogs implements IDialogs {
  get isOpen(): boolean {
    this._follow();
    return Dialog.tracker.size > 0;
  }

  get closed(): ISignal<this, void> {
    return this._closed;
  }

  private _follow(): void {
    Dialog.tracker.forEach(dialog => {
      dialog.disposed.connect(this._onDisposed, this);
    });
  }

  private _onDisposed(): void {
    // The tracker forgets the dialog by the same signal.
    queueMicrotask(() => this._closed.emit());
  }

  private _closed = new Signal<this, void>(this);
}

const dialogs = new AppDialogs();
