/** Why a task waits for leases, kept up with the time. It renders only. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import type { NotebookModel } from '../model';
import type { ICard, ILack } from '../protocol';
import { lackWords } from '../words';
import { useBeat } from './elapsed';

interface ILackingProps {
  card: ICard;
  /** What is known of it; null: no more than what it waits for. */
  lack: ILack | null;
  notebook: NotebookModel;
  trans: TranslationBundle;
}

export function Lacking({ card, lack, notebook, trans }: ILackingProps): JSX.Element {
  useBeat(lack !== null && notebook.standing === 'ready');
  const words = lack === null ? card.lacks : lackWords(lack, notebook.now(), trans);
  return (
    <span className="jp-Orchestra-said" title={words}>
      {words}
    </span>
  );
}
