/** One task as a card. It renders only: what its buttons do, it is told. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import type { Actions, Pending } from '../actions';
import { possible } from '../actions';
import type { Disclosures } from './disclosures';
import { questionHeight } from './disclosures';
import { Elapsed } from './elapsed';
import { Glyph, StateMark } from '../glyphs';
import type { GlyphName } from '../glyphs';
import type { NotebookModel } from '../model';
import { hasEnded } from '../model';
import { hasCell } from '../places';
import { Lacking } from './lacking';
import type { ICard, ILack } from '../protocol';
import { QuestionBlock } from '../question';
import { Unsandboxed } from '../unsandboxed';
import { actionWord, facts, need, stateWord, usage } from '../words';

/** What cards share; the same object for the life of the sidebar. */
export interface ITools {
  trans: TranslationBundle;
  actions: Actions;
  disclosures: Disclosures;
  open(uid: string): void;
  /** Bring a task's card into view and give it the focus. */
  show(uid: string): void;
  goToCell(notebook: NotebookModel, card: ICard): void;
}

export interface ICardProps {
  tools: ITools;
  notebook: NotebookModel;
  card: ICard;
  /** What there is to say beside its state. */
  text: string;
  /** Why it waits for leases, as far as that is known. */
  lack: ILack | null;
  pending: Pending;
  refusal: string;
  /** Whether the kernel hears what is clicked. */
  live: boolean;
  /** Whether Tab reaches its buttons: those of the card that has the focus. */
  reached: boolean;
  /** Whether it shows the action that it asks for whole. */
  disclosed: boolean;
  /** Whether its question can be answered now. */
  answerable: boolean;
}

/** The ids of what names and describes a card. */
export function nameId(uid: string): string {
  return `jp-Orchestra-name-${uid}`;
}
export function lineId(uid: string): string {
  return `jp-Orchestra-line-${uid}`;
}

/** Whether there is any progress to show: not before the start, and not after the end. */
function hasProgress(card: ICard): boolean {
  return card.started_at !== null && !hasEnded(card);
}

/** Lines for what a card needs: two where one would cut it in a sidebar of the usual width. */
function needLines(text: string): number {
  return text === '' ? 0 : text.length > 32 ? 2 : 1;
}

/** Height of a card at the normal size of text, in pixels; the style sheet has the same measures. */
export function cardHeight(card: ICard, refusal: string, { trans, disclosures }: ITools): number {
  const { question } = card;
  const needed = need(card, trans);
  const asks =
    question === null ? 16 * needLines(needed) : questionHeight(needed, question.detail, disclosures.isOpen(question));
  const lacks = card.lacks === '' ? 0 : 16; // a second line for why it waits
  return 68 + (hasProgress(card) ? 5 : 0) + lacks + asks + (refusal !== '' ? 16 : 0);
}

interface IButtonProps {
  name: string;
  glyph: GlyphName;
  uid: string;
  reached: boolean;
  disabled?: boolean;
  pending?: boolean;
  onClick: () => void;
}

function CardButton({ name, glyph, uid, reached, disabled, pending, onClick }: IButtonProps): JSX.Element {
  return (
    <button
      type="button"
      className={`jp-Orchestra-button${pending === true ? ' jp-mod-pending' : ''}`}
      aria-label={name}
      aria-describedby={nameId(uid)}
      aria-busy={pending === true ? true : undefined}
      aria-disabled={disabled === true || pending === true ? true : undefined}
      title={name}
      tabIndex={reached ? 0 : -1}
      onClick={disabled === true || pending === true ? undefined : onClick}
    >
      <Glyph name={glyph} />
    </button>
  );
}

function Buttons({ tools, notebook, card, pending, live, reached }: ICardProps): JSX.Element {
  const { trans, actions } = tools;
  const common = { uid: card.uid, reached };
  return (
    <span className="jp-Orchestra-buttons">
      {possible(card).map(action => (
        <CardButton
          key={action}
          {...common}
          name={actionWord(action, trans)}
          glyph={action}
          disabled={!live || pending !== null}
          pending={pending === action}
          onClick={() => void actions.act(notebook, card, action)}
        />
      ))}
      {hasCell(card) && (
        <CardButton
          {...common}
          name={trans.__('Go to cell')}
          glyph="cell"
          onClick={() => tools.goToCell(notebook, card)}
        />
      )}
      <CardButton {...common} name={trans.__('Open')} glyph="open" onClick={() => tools.open(card.uid)} />
    </span>
  );
}

function Progress({ card, trans }: { card: ICard; trans: TranslationBundle }): JSX.Element {
  const known = card.progress !== null;
  const percent = Math.round((card.progress ?? 0) * 100);
  const moving = card.state === 'running' && !known;
  return (
    <div
      className={`jp-Orchestra-progress${moving ? ' jp-mod-moving' : ''}`}
      role="progressbar"
      aria-label={trans.__('Progress of %1', card.name)}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={known ? percent : undefined}
      aria-valuetext={known ? undefined : stateWord(card, trans)}
    >
      <div style={known ? { transform: `scaleX(${percent / 100})` } : undefined} />
    </div>
  );
}

/** The state in a word, what there is to say of it, and what the task has used. */
function Line({ card, text, lack, notebook, tools }: ICardProps): JSX.Element {
  const { trans } = tools;
  return (
    <div className={`jp-Orchestra-line${card.lacks === '' ? '' : ' jp-mod-lacking'}`} id={lineId(card.uid)}>
      <span className="jp-Orchestra-state">{stateWord(card, trans)}</span>
      <Unsandboxed card={card} trans={trans} />
      {card.lacks !== '' ? (
        <Lacking {...{ card, lack, notebook, trans }} />
      ) : (
        <span className="jp-Orchestra-said" title={text}>
          {text}
        </span>
      )}
      <span className="jp-Orchestra-usage">{usage(card, trans)}</span>
    </div>
  );
}

export const Card = React.memo(function Card(props: ICardProps): JSX.Element {
  const { tools, notebook, card, refusal, pending, reached, disclosed, answerable } = props;
  const { trans, actions, disclosures } = tools;
  const { question } = card;
  const needed = question === null ? need(card, trans) : '';
  const about = facts(card, trans).join(' · ');
  return (
    <div className="jp-Orchestra-card" data-mark={card.needs_you !== '' ? 'needs-you' : card.state}>
      <div className="jp-Orchestra-head">
        <StateMark mark={card.needs_you !== '' ? 'needs-you' : card.state} />
        <span
          className="jp-Orchestra-name"
          id={nameId(card.uid)}
          title={card.name}
          onClick={() => tools.open(card.uid)}
        >
          {card.name}
        </span>
        <Elapsed card={card} notebook={notebook} />
      </div>
      {hasProgress(card) && <Progress card={card} trans={trans} />}
      <Line {...props} />
      {needed !== '' && (
        <div className={`jp-Orchestra-need jp-mod-lines${needLines(needed)}`} title={needed}>
          {needed}
        </div>
      )}
      {question !== null && (
        <QuestionBlock
          {...{ question, pending, reached, trans }}
          live={answerable}
          name={card.name}
          isOpen={disclosed}
          isMeasured
          toggle={() => disclosures.toggle(question)}
          answer={verdict => void actions.answer(notebook, card, question, verdict)}
        />
      )}
      {refusal !== '' && (
        <div className="jp-Orchestra-refusal" role="status" title={refusal}>
          {refusal}
        </div>
      )}
      <div className="jp-Orchestra-foot">
        <span className="jp-Orchestra-facts" title={about}>
          {about}
        </span>
        <Buttons {...props} />
      </div>
    </div>
  );
});
