/** Tells the person when a task newly needs them, once for each task and reason. It knows no card widget. */
import { Notification } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';

import type { Counts } from './counts';
import type { OrchestraModel } from '../model';
import type { Preferences } from '../preferences';
import type { ICard } from '../protocol';
import { need } from '../words';

const TOLD = 'jupyter-orchestra:told';
const SINGLY = 3; // more than this at once are told of in one notice

/** What a task needs now: a new attempt, another reason or another question is something new. */
function reasonOf(card: ICard): string {
  return `${card.uid} ${card.attempt} ${card.question?.digest ?? card.needs_you}`;
}

export class Notices {
  constructor(
    private _model: OrchestraModel,
    counts: Counts,
    private _preferences: Preferences,
    private _trans: TranslationBundle,
    private _show: (uid: string) => void
  ) {
    this._told = readTold();
    counts.settled.connect(this._look, this);
    this._look();
  }

  private _look(): void {
    const needy = new Map<string, ICard>();
    for (const notebook of this._model.notebooks) {
      for (const card of notebook.cards.values()) {
        if (card.needs_you !== '') {
          needy.set(reasonOf(card), card);
        }
      }
    }
    for (const [reason, id] of this._open) {
      if (!needy.has(reason)) {
        this._open.delete(reason);
        Notification.dismiss(id);
      }
    }
    const fresh = [...needy].filter(([reason]) => !this._told.has(reason));
    if (fresh.length === 0) {
      return;
    }
    fresh.forEach(([reason]) => this._told.add(reason));
    keepTold(this._told);
    if (this._preferences.settings.notifications) {
      this._tell(fresh);
    }
  }

  private _tell(fresh: [string, ICard][]): void {
    if (fresh.length > SINGLY) {
      this._emit(this._trans.__('%1 tasks need you', fresh.length), fresh[0]![1].uid);
      return;
    }
    for (const [reason, card] of fresh) {
      this._open.set(reason, this._emit(this._trans.__('%1 needs you: %2', card.name, need(card, this._trans)), card.uid));
    }
  }

  private _emit(message: string, uid: string): string {
    const action = { label: this._trans.__('Show'), callback: () => this._show(uid) };
    return Notification.emit(message, 'warning', { autoClose: 10_000, actions: [action] });
  }

  private _told: Set<string>;
  private _open = new Map<string, string>();
}

/** What this tab was told survives a reload of it. */
function readTold(): Set<string> {
  try {
    return new Set(JSON.parse(sessionStorage.getItem(TOLD) ?? '[]') as string[]);
  } catch {
    return new Set();
  }
}

function keepTold(told: Set<string>): void {
  try {
    sessionStorage.setItem(TOLD, JSON.stringify([...told].slice(-500)));
  } catch {
    // A browser without storage tells again after a reload: that is all.
  }
}
