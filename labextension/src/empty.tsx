/** What a sidebar without tasks says: how to begin. It knows no kernel. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import type { Standing } from './model';
import { LOAD_LINE } from './places';

export function Empty({ trans, standing }: { trans: TranslationBundle; standing: Standing }): JSX.Element {
  return (
    <div className="jp-Orchestra-empty">
      <h2>{trans.__('Nothing in the background')}</h2>
      <ol>
        <li className={standing === 'ready' ? 'jp-mod-done' : undefined}>
          {standing === 'unloaded' ? (
            trans.__('Load it, as above')
          ) : (
            <>
              {trans.__('Once in a notebook, run')} <code>{LOAD_LINE}</code>
            </>
          )}
        </li>
        <li>
          {trans.__('Begin a cell with')} <code>%%dispatch</code> {trans.__('and run it')}
        </li>
        <li>{trans.__('Go on working: the result comes back as a new cell')}</li>
      </ol>
    </div>
  );
}
