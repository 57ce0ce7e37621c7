/** What the card in a cell's output says: as its task is now, or as it was when the notebook was saved. Renders only. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { StateMark } from './glyphs';
import type { NotebookModel } from './model';
import { hasEnded } from './model';
import type { ICard, ICardLine } from './protocol';
import { Elapsed } from './sidebar/elapsed';
import { Lacking } from './sidebar/lacking';
import { Unsandboxed } from './unsandboxed';
import { awaited, need, said, stateWord } from './words';

interface ILineProps {
  saved: ICardLine;
  /** The task, if a notebook that is open knows it. */
  found: { notebook: NotebookModel; card: ICard } | null;
  trans: TranslationBundle;
  show(uid: string): void;
}

export default function Line({ saved, found, trans, show }: ILineProps): JSX.Element {
  const card = found?.card ?? { ...saved, stopping: false, reason: '', needs_you: '' };
  // What was under way when the notebook was saved, and is unknown now, is not said to go on.
  const isStale = found === null && !hasEnded(card);
  const word = stateWord(card, trans);
  const needy = card.needs_you !== '';
  const waits = found === null ? '' : awaited(found.card, found.notebook, trans);
  const text = need(card, trans) || said(card) || waits;
  return (
    <div className="jp-Orchestra-oneLine" data-task={card.name} data-state={card.state}>
      <StateMark mark={needy ? 'needs-you' : isStale ? 'cancelled' : card.state} />
      {found === null ? (
        <span className="jp-Orchestra-name">{card.name}</span>
      ) : (
        <button
          type="button"
          className="jp-Orchestra-link"
          title={trans.__('Show in the sidebar')}
          onClick={() => show(card.uid)}
        >
          {card.name}
        </button>
      )}
      <span className="jp-Orchestra-facts">{card.worker}</span>
      <span className="jp-Orchestra-state">{isStale ? trans.__('was %1', word) : word}</span>
      {found !== null && <Unsandboxed card={found.card} trans={trans} />}
      {found !== null && <Elapsed card={found.card} notebook={found.notebook} />}
      {found !== null && found.card.lacks !== '' && !needy ? (
        <Lacking {...found} lack={found.notebook.lackOf(card.uid)} trans={trans} />
      ) : (
        <span className="jp-Orchestra-said" title={text}>
          {text}
        </span>
      )}
    </div>
  );
}
