/** What a task went through, one line for each change. It renders only. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { clockTime, precise } from './clock';
import type { IStep } from '../protocol';
import { stateWord } from '../words';

interface IStoryProps {
  story: readonly IStep[];
  trans: TranslationBundle;
}

/** State, time of day, how long after the change before, and why. */
export function Story({ story, trans }: IStoryProps): JSX.Element {
  if (story.length === 0) {
    return <p className="jp-OrchestraPanel-notice">{trans.__('Nothing has happened yet.')}</p>;
  }
  return (
    <ol className="jp-OrchestraStory">
      {story.map((step, index) => (
        <Step key={index} step={step} before={story[index - 1]} trans={trans} />
      ))}
    </ol>
  );
}

interface IStepProps {
  step: IStep;
  before: IStep | undefined;
  trans: TranslationBundle;
}

function Step({ step, before, trans }: IStepProps): JSX.Element {
  return (
    <li data-state={step.state}>
      <time dateTime={new Date(step.at * 1000).toISOString()}>{clockTime(step.at)}</time>
      <span className="jp-OrchestraStory-since">
        {before !== undefined && trans.__('+%1', precise(Math.max(0, step.at - before.at)))}
      </span>
      <span className="jp-OrchestraStory-state">{stateWord({ state: step.state, stopping: false }, trans)}</span>
      <span className="jp-OrchestraStory-reason">{step.reason}</span>
    </li>
  );
}
