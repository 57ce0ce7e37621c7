/** The card in a cell's output: one line that leads to the sidebar. It knows the model, and what was saved. */
import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import React from 'react';

import { onceAFrame } from './coalesce';
import { Elapsed } from './sidebar/elapsed';
import { StateMark } from './glyphs';
import type { OrchestraModel } from './model';
import { hasEnded } from './model';
import type { ICardLine } from './protocol';
import { CARD_MIME } from './protocol';
import { readLine } from './savedLine';
import { awaited, need, said, stateWord } from './words';

/** Before the renderer of widgets, whose output the same cell may hold for other front ends. */
export const CARD_LINE_RANK = -20;

class CardLine extends ReactWidget implements IRenderMime.IRenderer {
  constructor(
    private _model: OrchestraModel,
    private _trans: TranslationBundle,
    private _show: (uid: string) => void
  ) {
    super();
    this.addClass('jp-Orchestra-cardLine');
    _model.changed.connect(this._onChange, this);
  }

  renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    this._saved = readLine(model.data[CARD_MIME]);
    this.update();
    return this.renderPromise ?? Promise.resolve();
  }

  override dispose(): void {
    this._frame.dispose();
    this._model.changed.disconnect(this._onChange, this);
    super.dispose();
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    this.update();
  }

  protected override render(): JSX.Element {
    const saved = this._saved;
    const found = this._model.find(saved.uid);
    const card = found?.card ?? { ...saved, stopping: false, reason: '', needs_you: '' };
    // What was under way when the notebook was saved, and is unknown now, is not said to go on.
    const isStale = found === null && !hasEnded(card);
    const word = stateWord(card, this._trans);
    const needy = card.needs_you !== '';
    const waits = found === null ? '' : awaited(found.card, found.notebook, this._trans);
    const text = need(card, this._trans) || said(card) || waits;
    return (
      <div className="jp-Orchestra-oneLine" data-task={card.name} data-state={card.state}>
        <StateMark mark={needy ? 'needs-you' : isStale ? 'cancelled' : card.state} />
        {found === null ? (
          <span className="jp-Orchestra-name">{card.name}</span>
        ) : (
          <button
            type="button"
            className="jp-Orchestra-link"
            title={this._trans.__('Show in the sidebar')}
            onClick={() => this._show(card.uid)}
          >
            {card.name}
          </button>
        )}
        <span className="jp-Orchestra-facts">{card.worker}</span>
        <span className="jp-Orchestra-state">{isStale ? this._trans.__('was %1', word) : word}</span>
        {found !== null && <Elapsed card={found.card} notebook={found.notebook} />}
        <span className="jp-Orchestra-said" title={text}>
          {text}
        </span>
      </div>
    );
  }

  /** Draw again when this very task has changed, not with each change of any. */
  private _onChange(): void {
    const card = this._model.find(this._saved.uid)?.card ?? null;
    if (card !== this._drawn && this.isAttached) {
      this._drawn = card;
      this._frame.ask();
    }
  }

  private _saved: ICardLine = readLine(null);
  private _drawn: unknown = null;
  private _frame = onceAFrame(() => this.update());
}

export function cardLineFactory(
  model: OrchestraModel,
  trans: TranslationBundle,
  show: (uid: string) => void
): IRenderMime.IRendererFactory {
  return { safe: true, mimeTypes: [CARD_MIME], createRenderer: () => new CardLine(model, trans, show) };
}
