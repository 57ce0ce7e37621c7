/** What the person asks of tasks, and how that stands: pending, or refused and why. It knows no widget. */
import type { TranslationBundle } from '@jupyterlab/translation';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { NotebookModel } from './model';
import { hasEnded } from './model';
import type { IAct, IAnswer, ICard } from './protocol';

export type Action = IAct['action'];

/** What can be asked of a task as it is now. */
export function possible(card: ICard): readonly Action[] {
  const actions: Action[] = [];
  if (hasEnded(card)) {
    if (card.state !== 'done') {
      actions.push('retry');
    }
    if (card.state === 'lost') {
      actions.push('forget');
    }
    return actions;
  }
  if (card.stopping) {
    return actions;
  }
  if (card.state === 'paused') {
    actions.push('resume');
  } else if (card.pausable) {
    actions.push('pause');
  }
  actions.push('cancel');
  return actions;
}

/** What a refusal was about; once any of it changes the refusal is out of date. Progress alone changes none of it. */
function situation(card: ICard): string {
  return [card.state, card.attempt, card.stopping, card.needs_you].join(' ');
}

export class Actions {
  constructor(private _trans: TranslationBundle) {}

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  pendingOf(uid: string): Action | null {
    return this._pending.get(uid) ?? null;
  }

  /** Why the last thing asked of this task was refused; empty when nothing was, or when it has changed since. */
  refusalOf(card: ICard): string {
    const refusal = this._refusals.get(card.uid);
    if (refusal === undefined) {
      return '';
    }
    if (refusal.situation !== situation(card)) {
      this._refusals.delete(card.uid);
      return '';
    }
    return refusal.message;
  }

  /** Why the last thing asked of all tasks of this notebook was refused. */
  noticeOf(notebook: NotebookModel): string {
    return this._notices.get(notebook) ?? '';
  }

  refuse(card: ICard, message: string): void {
    this._refusals.set(card.uid, { message, situation: situation(card) });
    this._changed.emit();
  }

  async act(notebook: NotebookModel, card: ICard, action: Action): Promise<void> {
    if (this._pending.has(card.uid)) {
      return;
    }
    this._refusals.delete(card.uid);
    this._pending.set(card.uid, action);
    this._changed.emit();
    const answer = await notebook.ask({ type: 'Act', action, tasks: [card.uid] });
    this._pending.delete(card.uid);
    if (answer.ok) {
      this._changed.emit();
    } else {
      this.refuse(notebook.cards.get(card.uid) ?? card, this._why(answer));
    }
  }

  cancelAll(notebook: NotebookModel): Promise<void> {
    return this._actOnAll(notebook, { type: 'Act', action: 'cancel', all: true });
  }

  clearFinished(notebook: NotebookModel): Promise<void> {
    return this._actOnAll(notebook, { type: 'Act', action: 'forget', ended: true });
  }

  private async _actOnAll(notebook: NotebookModel, act: Omit<IAct, 'request'>): Promise<void> {
    this._notices.delete(notebook);
    this._changed.emit();
    const answer = await notebook.ask(act);
    if (!answer.ok) {
      this._notices.set(notebook, this._why(answer));
      this._changed.emit();
    }
  }

  private _why(answer: IAnswer): string {
    return answer.message || this._trans.__('the kernel is not there');
  }

  private _pending = new Map<string, Action>();
  private _refusals = new Map<string, { message: string; situation: string }>();
  private _notices = new WeakMap<NotebookModel, string>();
  private _changed = new Signal<this, void>(this);
}
