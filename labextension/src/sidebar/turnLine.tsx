/** What the master does now: its last words as they come, and a button to stop it or to let it go on. Renders only. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import type { Actions } from '../actions';
import type { NotebookModel } from '../model';
import type { ITurn, TurnState } from '../protocol';

/** Where a turn of the master stands. */
export function turnWord(turn: Pick<ITurn, 'state' | 'wake'>, trans: TranslationBundle): string {
  const words: Record<TurnState, string> = {
    running: turn.wake ? trans.__('The master goes on') : trans.__('The master answers'),
    done: trans.__('The master has answered'),
    failed: trans.__('The master could not go on'),
    stopped: trans.__('The master was stopped')
  };
  return words[turn.state];
}

interface ITurnLineProps {
  notebook: NotebookModel;
  actions: Actions;
  trans: TranslationBundle;
}

/** Nothing is said of a turn that went well: its reply stands in the notebook. */
export function TurnLine({ notebook, actions, trans }: ITurnLineProps): JSX.Element | null {
  const { turn } = notebook;
  if (turn === null || notebook.standing !== 'ready') {
    return null;
  }
  const runs = turn.state === 'running';
  const failed = turn.state === 'failed';
  const text = failed ? turn.note : turn.text || turn.note;
  return (
    <div className="jp-Orchestra-turn" data-turn={turn.state}>
      {/* The state alone is read out: words that stream would never end. */}
      <span className="jp-Orchestra-turnState" role="status">
        {runs || failed ? turnWord(turn, trans) : ''}
      </span>
      {(runs || failed) && (
        <span className="jp-Orchestra-words" title={text}>
          <bdi>{text}</bdi>
        </span>
      )}
      {runs && <TurnButton label={trans.__('Stop')} onClick={() => void actions.turn(notebook, 'stop')} />}
      {failed && <TurnButton label={trans.__('Retry')} onClick={() => void actions.turn(notebook, 'retry')} />}
    </div>
  );
}

function TurnButton({ label, onClick }: { label: string; onClick: () => void }): JSX.Element {
  return (
    <button type="button" className="jp-Orchestra-dispatch" onClick={onClick}>
      {label}
    </button>
  );
}
