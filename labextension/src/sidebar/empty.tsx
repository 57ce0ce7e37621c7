/** What a sidebar without tasks says: how to begin. It knows no kernel. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import type { NotebookModel } from '../model';
import { LOAD_LINE } from '../places';
import { canLoad } from './standing';

interface IEmptyProps {
  /** The one in front. */
  notebook: NotebookModel | null;
  trans: TranslationBundle;
}

export function Empty({ notebook, trans }: IEmptyProps): JSX.Element {
  return (
    <div className="jp-Orchestra-empty">
      <h2>{trans.__('Nothing in the background')}</h2>
      <ol>
        <li className={notebook?.standing === 'ready' ? 'jp-mod-done' : undefined}>
          {canLoad(notebook) ? (
            trans.__('Load it, as above')
          ) : (
            <>
              {trans.__('Once in a Python notebook, run')} <code>{LOAD_LINE}</code>
            </>
          )}
        </li>
        <li>
          {trans.__('Begin a cell with')} <code>%%chat</code> {trans.__('to talk to the master, or with')}{' '}
          <code>%%dispatch</code> {trans.__('to send work off')}
        </li>
        <li>{trans.__('Go on working: the result comes back as a new cell')}</li>
      </ol>
    </div>
  );
}
