/** Our tasks in JupyterLab's own list of what runs. It knows the model and that list, no sidebar. */
import type { IRunningSessions } from '@jupyterlab/running';
import type { TranslationBundle } from '@jupyterlab/translation';
import { closeIcon } from '@jupyterlab/ui-components';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { Actions } from '../actions';
import type { Counts } from './counts';
import { orchestraIcon } from '../icon';
import type { NotebookModel, OrchestraModel } from '../model';
import { hasEnded } from '../model';
import type { ICard } from '../protocol';
import { facts, stateWord } from '../words';

const MOST = 50; // that list draws every line at every change, in view or not; more than this is for the sidebar

interface IUnderWay {
  notebook: NotebookModel;
  card: ICard;
}

export class RunningTasks implements IRunningSessions.IManager {
  constructor(
    private _model: OrchestraModel,
    counts: Counts,
    private _actions: Actions,
    private _trans: TranslationBundle,
    private _open: (uid: string) => void
  ) {
    this.name = _trans.__('Orchestra tasks');
    this.shutdownLabel = _trans.__('Cancel');
    this.shutdownAllLabel = _trans.__('Cancel all');
    this.shutdownAllConfirmationText = _trans.__('Cancel all unfinished tasks of all open notebooks?');
    counts.settled.connect(this._settle, this);
    this._settle();
  }

  readonly name: string;
  readonly shutdownLabel: string;
  readonly shutdownAllLabel: string;
  readonly shutdownAllConfirmationText: string;
  readonly shutdownItemIcon = closeIcon;
  readonly supportsMultipleViews = false;

  get runningChanged(): ISignal<this, void> {
    return this._runningChanged;
  }

  running(): IRunningSessions.IRunningItem[] {
    return this._underWay()
      .slice(0, MOST)
      .map(({ notebook, card }) => ({
        icon: () => orchestraIcon,
        label: () => card.name,
        labelTitle: () => [card.name, ...facts(card, this._trans), notebook.path].join(' · '),
        detail: () => stateWord(card, this._trans),
        open: () => this._open(card.uid),
        shutdown: () => void this._actions.act(notebook, card, 'cancel')
      }));
  }

  refreshRunning(): void {
    this._runningChanged.emit();
  }

  shutdownAll(): void {
    for (const notebook of this._model.notebooks) {
      void this._actions.cancelAll(notebook);
    }
  }

  private _underWay(): IUnderWay[] {
    const found = new Map<string, IUnderWay>();
    for (const notebook of this._model.notebooks) {
      for (const card of notebook.cards.values()) {
        if (!hasEnded(card)) {
          found.set(card.uid, { notebook, card });
        }
      }
    }
    return [...found.values()];
  }

  /** Tell the list only when it would look different. */
  private _settle(): void {
    const shown = this._underWay()
      .slice(0, MOST)
      .map(({ card }) => `${card.uid} ${card.name} ${card.state} ${card.stopping}`)
      .join('\n');
    if (shown !== this._shown) {
      this._shown = shown;
      this._runningChanged.emit();
    }
  }

  private _shown = '';
  private _runningChanged = new Signal<this, void>(this);
}
