/** What the person asks of tasks, and how that stands: pending, or refused and why. It knows no widget. */
import type { TranslationBundle } from '@jupyterlab/translation';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { NotebookModel, Question } from './model';
import { hasEnded } from './model';
import type { IAct, IAnswer, ICard, IQuestion, ITurnAct } from './protocol';

/** What answers the question of a task: `always` approves the same action again, too. */
export type Verdict = 'approve' | 'always' | 'decline';
/** What else can be asked of a task. */
export type Action = Exclude<IAct['action'], Verdict>;
/** What was asked of a task and is not answered yet. */
export type Pending = Action | Verdict | null;

/** Milliseconds after an answer in which no other is taken: the next question may have come under the same pointer. */
const BREATH = 700;

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

/** How a question can be answered; `always` where the same can come again. */
export function verdicts(question: IQuestion): readonly Verdict[] {
  return question.proposal ? ['approve', 'decline'] : ['approve', 'always', 'decline'];
}

/** What a refusal was about; once any of it changes the refusal is out of date. Progress alone changes none of it. */
function situation(card: ICard): string {
  return [card.state, card.attempt, card.stopping, card.needs_you, card.question?.digest ?? ''].join(' ');
}

export class Actions {
  constructor(private _trans: TranslationBundle) {}

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  pendingOf(uid: string): Pending {
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

  /** Why the last thing asked of all tasks of this notebook, or of the master, was refused. */
  noticeOf(notebook: NotebookModel): string {
    return this._notices.get(notebook) ?? '';
  }

  /** Whether no answer is taken: the person has just given one. */
  get rests(): boolean {
    return this._rests;
  }

  refuse(card: ICard, message: string): void {
    this._refusals.set(card.uid, { message, situation: situation(card) });
    this._changed.emit();
  }

  act(notebook: NotebookModel, card: ICard, action: Action): Promise<void> {
    return this._act(notebook, card, action, { type: 'Act', action, tasks: [card.uid] });
  }

  /** Answer the question that the person has read, and no other. */
  async answer(notebook: NotebookModel, card: ICard, read: IQuestion, verdict: Verdict, why = ''): Promise<void> {
    if (this._rests) {
      return;
    }
    this._rests = true;
    setTimeout(() => {
      this._rests = false;
      this._changed.emit();
    }, BREATH);
    const action = verdict === 'decline' ? 'decline' : 'approve';
    const answer = { digest: read.digest, always: verdict === 'always', why };
    await this._act(notebook, card, verdict, { type: 'Act', action, tasks: [card.uid], ...answer });
  }

  /** Stop the running turn of the master, or let the one that failed go on. */
  async turn(notebook: NotebookModel, action: ITurnAct['action']): Promise<void> {
    await this._askOnce(notebook, { type: 'TurnAct', action });
  }

  private async _act(
    notebook: NotebookModel,
    card: ICard,
    pending: Action | Verdict,
    act: Omit<IAct, 'request'>
  ): Promise<void> {
    if (this._pending.has(card.uid)) {
      return;
    }
    this._refusals.delete(card.uid);
    this._pending.set(card.uid, pending);
    this._changed.emit();
    const answer = await notebook.ask(act);
    this._pending.delete(card.uid);
    if (answer.ok) {
      this._changed.emit();
    } else {
      this.refuse(notebook.cards.get(card.uid) ?? card, this._why(answer));
    }
  }

  cancelAll(notebook: NotebookModel): Promise<void> {
    return this._askOnce(notebook, { type: 'Act', action: 'cancel', all: true });
  }

  clearFinished(notebook: NotebookModel): Promise<void> {
    return this._askOnce(notebook, { type: 'Act', action: 'forget', ended: true });
  }

  /** What concerns no single task; why it was refused is the notebook's. */
  private async _askOnce(notebook: NotebookModel, question: Question): Promise<void> {
    this._notices.delete(notebook);
    this._changed.emit();
    const answer = await notebook.ask(question);
    if (!answer.ok) {
      this._notices.set(notebook, this._why(answer));
      this._changed.emit();
    }
  }

  private _why(answer: IAnswer): string {
    return answer.message || this._trans.__('the kernel is not there');
  }

  private _rests = false;
  private _pending = new Map<string, Action | Verdict>();
  private _refusals = new Map<string, { message: string; situation: string }>();
  private _notices = new WeakMap<NotebookModel, string>();
  private _changed = new Signal<this, void>(this);
}
