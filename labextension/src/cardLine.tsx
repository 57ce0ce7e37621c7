/** The card in a cell's output: one line that leads to the sidebar. It knows the model, and what was saved. */
import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import React, { Suspense } from 'react';

import { onceAFrame } from './coalesce';
import type { OrchestraModel } from './model';
import type { ICardLine } from './protocol';
import { CARD_MIME } from './protocol';
import { readLine } from './savedLine';

const Line = React.lazy(() => import('./line'));

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
    const found = this._model.find(this._saved.uid);
    return (
      <Suspense>
        <Line saved={this._saved} found={found} trans={this._trans} show={this._show} />
      </Suspense>
    );
  }

  /** Draw again when this very task has changed, not with each change of any. */
  private _onChange(): void {
    const found = this._model.find(this._saved.uid);
    const shown = [found?.card, found?.notebook.lackOf(this._saved.uid)];
    if (shown.some((part, index) => part !== this._drawn[index]) && this.isAttached) {
      this._drawn = shown;
      this._frame.ask();
    }
  }

  private _saved: ICardLine = readLine(null);
  private _drawn: readonly unknown[] = [];
  private _frame = onceAFrame(() => this.update());
}

export function cardLineFactory(
  model: OrchestraModel,
  trans: TranslationBundle,
  show: (uid: string) => void
): IRenderMime.IRendererFactory {
  return { safe: true, mimeTypes: [CARD_MIME], createRenderer: () => new CardLine(model, trans, show) };
}
