/** The head of a task's panel: what it is, where it stands, and what can be done with it. It renders only. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import type { Action, Pending, Verdict } from '../actions';
import { possible } from '../actions';
import { Elapsed } from '../sidebar/elapsed';
import { Lacking } from '../sidebar/lacking';
import { StateMark } from '../glyphs';
import type { NotebookModel } from '../model';
import { hasEnded } from '../model';
import { hasCell } from '../places';
import type { ICard, ILack } from '../protocol';
import { QuestionBlock } from '../question';
import { Unsandboxed } from '../unsandboxed';
import type { Whereabouts } from './watch';
import { actionWord, facts, need, said, stateWord, usage } from '../words';

interface IPanelHeaderProps {
  card: ICard;
  notebook: NotebookModel;
  whereabouts: Whereabouts;
  explanation: string;
  /** Why it waits for leases, as far as that is known. */
  lack: ILack | null;
  pending: Pending;
  /** Why the last action was refused; empty when it was not. */
  problem: string;
  act: (action: Action) => void;
  answer: (verdict: Verdict) => void;
  /** Whether an answer is taken now. */
  answerable: boolean;
  /** Whether the action that it asks for is shown whole. */
  disclosed: boolean;
  disclose: () => void;
  goToCell: () => void;
  /** Closes the panel, where its place has no way to close it. */
  close: (() => void) | null;
  trans: TranslationBundle;
}

export function PanelHeader(props: IPanelHeaderProps): JSX.Element {
  const { answer, answerable, card, disclose, disclosed, explanation, lack, notebook, pending, problem, trans, whereabouts } = props;
  const isLive = whereabouts === 'here';
  // The kernel explains what does not go on; what a task says of itself is newer.
  const goesOn = (card.state === 'running' && !card.stopping) || hasEnded(card);
  const why = goesOn || card.question !== null ? said(card) : explanation;
  return (
    <div className="jp-OrchestraPanel-head" data-state={card.state}>
      <div className="jp-OrchestraPanel-title">
        <h2>{card.name}</h2>
        <span className="jp-OrchestraPanel-state" role="status">
          <StateMark mark={card.needs_you !== '' ? 'needs-you' : card.state} />
          {stateWord(card, trans)}
        </span>
        <Unsandboxed card={card} trans={trans} />
        <Elapsed card={card} notebook={notebook} />
        <span className="jp-OrchestraPanel-facts">
          {[...facts(card, trans), usage(card, trans)].filter(fact => fact !== '').join(' · ')}
        </span>
        <Buttons {...props} isLive={isLive} />
      </div>
      {card.progress !== null && <Progress card={card} trans={trans} />}
      {card.question !== null ? (
        <QuestionBlock
          {...{ question: card.question, pending, answer, trans }}
          name={card.name}
          isOpen={disclosed}
          live={isLive && answerable}
          reached
          toggle={disclose}
        />
      ) : (
        card.needs_you !== '' && <p className="jp-OrchestraPanel-needs">{need(card, trans)}</p>
      )}
      {card.lacks !== '' && isLive ? (
        <p className="jp-OrchestraPanel-why">
          <Lacking {...{ card, lack, notebook, trans }} />
        </p>
      ) : (
        why !== '' && isLive && <p className="jp-OrchestraPanel-why">{why}</p>
      )}
      {!isLive && (
        <p className="jp-OrchestraPanel-away" role="status">
          {lament(whereabouts, trans)}
        </p>
      )}
      {problem !== '' && (
        <p className="jp-OrchestraPanel-problem" role="alert">
          {problem}
        </p>
      )}
    </div>
  );
}

function Progress({ card, trans }: { card: ICard; trans: TranslationBundle }): JSX.Element {
  const percent = Math.round((card.progress ?? 0) * 100);
  return (
    <div
      className="jp-OrchestraPanel-progress"
      role="progressbar"
      aria-label={trans.__('Progress of %1', card.name)}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={percent}
    >
      <div style={{ width: `${percent}%` }} />
    </div>
  );
}

function Buttons(props: IPanelHeaderProps & { isLive: boolean }): JSX.Element {
  const { act, card, close, goToCell, isLive, pending, trans, whereabouts } = props;
  return (
    <div className="jp-OrchestraPanel-buttons" role="group" aria-label={trans.__('Actions on %1', card.name)}>
      {possible(card).map(action => (
        <Button
          key={action}
          label={actionWord(action, trans)}
          isOff={!isLive || pending !== null}
          onClick={() => act(action)}
        />
      ))}
      {hasCell(card) && <Button label={trans.__('Go to cell')} isOff={whereabouts === 'closed'} onClick={goToCell} />}
      {close !== null && <Button label={trans.__('Close')} onClick={close} />}
    </div>
  );
}

function Button(props: { label: string; isOff?: boolean; onClick: () => void }): JSX.Element {
  return (
    <button type="button" className="jp-OrchestraPanel-button" disabled={props.isOff} onClick={props.onClick}>
      {props.label}
    </button>
  );
}

function lament(whereabouts: Whereabouts, trans: TranslationBundle): string {
  switch (whereabouts) {
    case 'closed':
      return trans.__('The notebook of this task is closed. What you see is the last that came.');
    case 'forgotten':
      return trans.__('The notebook no longer knows this task. What you see is the last that came.');
    default:
      return trans.__('The kernel does not answer. What you see is the last that came.');
  }
}
