/** The status bar's line. It knows the counts and one command to call. */
import { ReactWidget } from '@jupyterlab/ui-components';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';
import React from 'react';

import type { Counts } from './counts';
import { summary } from '../words';

export class StatusItem extends ReactWidget {
  constructor(
    private _counts: Counts,
    private _trans: TranslationBundle,
    private _show: () => void
  ) {
    super();
    this.addClass('jp-Orchestra-status');
  }

  /** Whether it has something to say may have changed. */
  get refreshed(): ISignal<this, void> {
    return this._refreshed;
  }

  refresh(): void {
    this.update();
    this._refreshed.emit();
  }

  protected override render(): JSX.Element {
    const needy = this._counts.values['needs-you'] > 0;
    return (
      <button
        type="button"
        className={needy ? 'jp-mod-needy' : undefined}
        title={this._trans.__('Show the Orchestra sidebar')}
        onClick={this._show}
      >
        {summary(this._counts.values, this._trans)}
      </button>
    );
  }

  private _refreshed = new Signal<this, void>(this);
}
