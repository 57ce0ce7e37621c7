/** The box at the foot of the sidebar, in which the person speaks to the master. It knows a notebook to send it to. */
import type { TranslationBundle } from '@jupyterlab/translation';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';
import React, { useEffect, useId, useLayoutEffect, useReducer, useRef } from 'react';

import type { Actions } from '../actions';
import type { NotebookModel } from '../model';
import type { IAnswer } from '../protocol';
import { TurnLine } from './turnLine';

const DRAFT = 'jupyter-orchestra:draft';

/** What was typed and what came of the last sending: it outlives the box. */
export class Draft {
  text = readDraft();
  pending = false;
  /** What came of the last sending, in one line. */
  outcome = '';
  failed = false;

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  type(text: string): void {
    this.text = text;
    this.outcome = '';
    keepDraft(text);
    this._changed.emit();
  }

  /** Send what was typed; it stays in the box unless it was taken, and whatever was typed meanwhile stays too. */
  async send(notebook: NotebookModel, trans: TranslationBundle): Promise<void> {
    const sent = this.text;
    if (this.pending || sent.trim() === '') {
      return;
    }
    this.pending = true;
    this.outcome = '';
    this._changed.emit();
    const answer = await notebook.ask({ type: 'Compose', text: sent });
    this.pending = false;
    this.failed = !answer.ok;
    if (answer.ok && this.text.startsWith(sent)) {
      this.text = this.text.slice(sent.length);
      keepDraft(this.text);
    }
    const refusal = answer.message || trans.__('the kernel is not there');
    this.outcome = answer.ok ? answer.message || outcomeOf(answer, trans) : refusal;
    this._changed.emit();
  }

  private _changed = new Signal<this, void>(this);
}

function outcomeOf({ names }: IAnswer, trans: TranslationBundle): string {
  return names.length > 0 ? trans.__('dispatched %1', names.join(', ')) : trans.__('sent');
}

function readDraft(): string {
  try {
    return sessionStorage.getItem(DRAFT) ?? '';
  } catch {
    return '';
  }
}

function keepDraft(text: string): void {
  try {
    sessionStorage.setItem(DRAFT, text);
  } catch {
    // A browser without storage loses a draft on reload: that is all.
  }
}

interface IComposerProps {
  draft: Draft;
  wish: { composer: boolean };
  notebook: NotebookModel | null;
  actions: Actions;
  trans: TranslationBundle;
}

/** Where the person types, of the places that one page has. */
const PLACE = 'composer';

function fit(box: HTMLTextAreaElement): void {
  box.style.height = 'auto';
  box.style.height = `${box.scrollHeight + 2}px`;
}

/** What the person should know of what they typed, before anything came of it. */
function hintFor(draft: Draft, ready: boolean, trans: TranslationBundle): string {
  if (draft.pending) {
    return trans.__('sending…');
  }
  return ready || draft.text.trim() === '' ? '' : trans.__('This needs a notebook with Orchestra loaded.');
}

export function Composer({ draft, notebook, wish, actions, trans }: IComposerProps): JSX.Element {
  const [, redraw] = useReducer((count: number) => count + 1, 0);
  const box = useRef<HTMLTextAreaElement>(null);
  const hint = useId();
  const who = useId();
  useEffect(() => {
    const listener = (): void => redraw();
    draft.changed.connect(listener);
    return () => {
      draft.changed.disconnect(listener);
    };
  }, [draft]);
  useLayoutEffect(() => fit(box.current!), [draft.text]);
  useEffect(() => {
    if (wish.composer) {
      wish.composer = false;
      box.current!.focus();
    }
  });
  const ready = notebook !== null && notebook.standing === 'ready';
  const send = (): void => {
    if (ready) {
      notebook.composing.left(PLACE);
      void draft.send(notebook, trans);
    }
  };
  const type = (text: string): void => {
    draft.type(text);
    text.trim() === '' ? notebook?.composing.left(PLACE) : notebook?.composing.typed(PLACE);
  };
  const onKeyDown = (event: React.KeyboardEvent): void => {
    if (event.key === 'Enter' && (event.shiftKey || event.ctrlKey || event.metaKey) && !event.nativeEvent.isComposing) {
      event.preventDefault();
      event.stopPropagation();
      send();
    }
  };
  return (
    <div className="jp-Orchestra-composer">
      {ready && <TurnLine {...{ notebook, actions, trans }} />}
      {ready && notebook.master !== '' && (
        <div className="jp-Orchestra-master" id={who} title={notebook.master}>
          {notebook.master}
        </div>
      )}
      <textarea
        ref={box}
        rows={2}
        value={draft.text}
        aria-label={trans.__('Message to the master')}
        aria-describedby={ready && notebook.master !== '' ? `${who} ${hint}` : hint}
        placeholder={trans.__('Message to the master; Shift+Enter sends it')}
        onChange={event => type(event.target.value)}
        onBlur={() => notebook?.composing.left(PLACE)}
        onKeyDown={onKeyDown}
      />
      <div className="jp-Orchestra-send">
        <span id={hint} className={`jp-Orchestra-outcome${draft.failed ? ' jp-mod-failed' : ''}`} role="status">
          {draft.outcome || hintFor(draft, ready, trans)}
        </span>
        <button
          type="button"
          className="jp-Orchestra-dispatch"
          aria-disabled={!ready || draft.pending || draft.text.trim() === ''}
          title={trans.__('Send it to the master; what begins with %%dispatch is dispatched as it is')}
          onClick={send}
        >
          {trans.__('Send')}
        </button>
      </div>
    </div>
  );
}
