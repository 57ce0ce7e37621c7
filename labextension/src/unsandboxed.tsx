/** The label of a task in which nothing confines what a model wrote. It renders only. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import type { ICard } from './protocol';
import { exposure } from './words';

interface IUnsandboxedProps {
  card: Pick<ICard, 'unsandboxed'>;
  trans: TranslationBundle;
}

export function Unsandboxed({ card, trans }: IUnsandboxedProps): JSX.Element | null {
  const why = exposure(card, trans);
  return why === '' ? null : (
    <strong className="jp-Orchestra-unsandboxed" title={why}>
      UNSANDBOXED
    </strong>
  );
}
