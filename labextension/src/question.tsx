/** What a task asks of the person, the exact action, and the buttons that answer it. It renders only. */
import '../style/question.css';

import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useEffect, useId, useState } from 'react';

import type { Verdict } from './actions';
import { verdicts } from './actions';
import type { IQuestion } from './protocol';
import { askingHeight, detailHeight } from './sidebar/disclosures';
import { asking } from './words';

/** Milliseconds for which a question must have stood there before it can be answered: a click was meant for another. */
const READ = 400;

/** How a question can be answered, as buttons say it. */
export function verdictWord(verdict: Verdict, trans: TranslationBundle): string {
  const words: Record<Verdict, string> = {
    approve: trans.__('Approve'),
    always: trans.__('Always'),
    decline: trans.__('Decline')
  };
  return words[verdict];
}

interface IQuestionProps {
  question: IQuestion;
  /** The name of the task. */
  name: string;
  isOpen: boolean;
  /** Whether the height of what is disclosed must be known beforehand. */
  isMeasured?: boolean;
  /** Whether it can be answered now. */
  live: boolean;
  pending: string | null;
  /** Whether Tab reaches its buttons. */
  reached: boolean;
  toggle(): void;
  answer(verdict: Verdict): void;
  trans: TranslationBundle;
}

/** Whether the person has had the time to see what this question is. */
function useRead(digest: string): boolean {
  const [read, setRead] = useState('');
  useEffect(() => {
    const timer = setTimeout(() => setRead(digest), READ);
    return () => clearTimeout(timer);
  }, [digest]);
  return read === digest;
}

export function QuestionBlock(props: IQuestionProps): JSX.Element {
  const { question, name, isOpen, isMeasured, live, pending, reached, toggle, answer, trans } = props;
  const action = useId();
  const detail = useId();
  const isReady = useRead(question.digest) && live && pending === null;
  const text = asking(question, trans);
  const tabIndex = reached ? 0 : -1;
  const measured = (height: number): React.CSSProperties | undefined =>
    isMeasured === true ? { height: `calc(${height} * var(--jp-orchestra-px))` } : undefined;
  return (
    <div
      className="jp-Orchestra-question"
      role="group"
      aria-label={trans.__('Question of %1', name)}
      data-digest={question.digest}
    >
      <div className="jp-Orchestra-asking" id={action} title={text} style={measured(askingHeight(text))}>
        {text}
      </div>
      {question.detail !== '' && (
        <button
          type="button"
          className="jp-Orchestra-disclose"
          aria-expanded={isOpen}
          aria-controls={isOpen ? detail : undefined}
          tabIndex={tabIndex}
          onClick={toggle}
        >
          {trans.__('Exact action')}
        </button>
      )}
      {question.detail !== '' && isOpen && (
        <pre
          className="jp-Orchestra-detail"
          id={detail}
          role="group"
          aria-label={trans.__('Exact action')}
          tabIndex={0}
          style={measured(detailHeight(question.detail))}
        >
          {question.detail}
        </pre>
      )}
      <div className="jp-Orchestra-verdicts">
        {verdicts(question).map(verdict => (
          <button
            key={verdict}
            type="button"
            className={`jp-Orchestra-verdict jp-mod-${verdict}`}
            aria-describedby={action}
            aria-disabled={!isReady}
            title={verdict === 'always' ? trans.__('Approve this action for this task whenever it comes again') : undefined}
            tabIndex={tabIndex}
            onClick={isReady ? () => answer(verdict) : undefined}
          >
            {verdictWord(verdict, trans)}
          </button>
        ))}
        {question.more > 0 && (
          <span className="jp-Orchestra-more">{trans._n('and %1 more', 'and %1 more', question.more)}</span>
        )}
      </div>
    </div>
  );
}
