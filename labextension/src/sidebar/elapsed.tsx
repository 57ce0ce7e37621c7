/** The clock of a card: one beat a second for all clocks in view. It knows a card and its notebook's time. */
import React, { useContext, useEffect, useReducer } from 'react';

import type { NotebookModel } from '../model';
import { elapsed } from '../model';
import type { ICard } from '../protocol';
import { duration } from '../words';

/** Whether clocks go; they stand still where nobody sees them. */
export const ClocksGo = React.createContext(true);

const listeners = new Set<() => void>();
let beat: ReturnType<typeof setInterval> | null = null;

function listen(listener: () => void): () => void {
  listeners.add(listener);
  beat ??= setInterval(() => listeners.forEach(each => each()), 1000);
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0 && beat !== null) {
      clearInterval(beat);
      beat = null;
    }
  };
}

/** Draw again with each beat, as long as time goes on for what is drawn. */
export function useBeat(goesOn: boolean): void {
  const [, redraw] = useReducer((count: number) => count + 1, 0);
  const goes = useContext(ClocksGo) && goesOn;
  useEffect(() => (goes ? listen(redraw) : undefined), [goes]);
}

/** How long the present attempt has run. */
export function Elapsed({ card, notebook }: { card: ICard; notebook: NotebookModel }): JSX.Element | null {
  useBeat(card.state === 'running' && notebook.standing === 'ready');
  if (card.started_at === null) {
    return null;
  }
  return <span className="jp-Orchestra-elapsed">{duration(elapsed(card, notebook.now()))}</span>;
}
