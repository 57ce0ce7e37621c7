/** The box at the foot of the sidebar. It holds what was typed, and knows a notebook to send it to. */
import type { TranslationBundle } from '@jupyterlab/translation';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';
import React, { useEffect, useId, useLayoutEffect, useReducer, useRef } from 'react';

import type { NotebookModel } from '../model';

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
    this.outcome = answer.ok ? answer.message || trans.__('dispatched %1', answer.names.join(', ')) : refusal;
    this._changed.emit();
  }

  private _changed = new Signal<this, void>(this);
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
  trans: TranslationBundle;
}

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

export function Composer({ draft, notebook, wish, trans }: IComposerProps): JSX.Element {
  const [, redraw] = useReducer((count: number) => count + 1, 0);
  const box = useRef<HTMLTextAreaElement>(null);
  const hint = useId();
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
      void draft.send(notebook, trans);
    }
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
      <textarea
        ref={box}
        rows={2}
        spellCheck={false}
        value={draft.text}
        aria-label={trans.__('Python to dispatch')}
        aria-describedby={hint}
        placeholder={trans.__('Python for the background; Shift+Enter dispatches it')}
        onChange={event => draft.type(event.target.value)}
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
          title={trans.__('Flags on a first line %%dispatch are allowed')}
          onClick={send}
        >
          {trans.__('Dispatch')}
        </button>
      </div>
    </div>
  );
}
