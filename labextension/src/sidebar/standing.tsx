/** What the person should know of the notebook's kernel and journal. It knows how to say it, not how to change it. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useState } from 'react';

import { Glyph } from '../glyphs';
import type { NotebookModel } from '../model';
import { LOAD_LINE } from '../places';

export interface INote {
  key: string;
  /** `alert` asks for something, `note` only says. */
  weight: 'alert' | 'note';
  text: string;
}

/** The notes for one notebook, the gravest first. */
export function notesOf(notebook: NotebookModel, trans: TranslationBundle): INote[] {
  if (notebook.standing !== 'ready') {
    return standingNotes(notebook, trans);
  }
  const notes: INote[] = [];
  if (notebook.blocked !== '') {
    const text = trans.__('The journal cannot be written: %1', notebook.blocked);
    notes.push({ key: 'blocked', weight: 'alert', text });
  }
  if (notebook.subshells === false) {
    const text = trans.__('This kernel has no subshells: clicks and magics wait until the running cell ends.');
    notes.push({ key: 'subshells', weight: 'note', text });
  }
  if (notebook.isPrivate) {
    const text = trans.__('This kernel has a journal of its own: it goes when the kernel ends.');
    notes.push({ key: 'private', weight: 'note', text });
  }
  return notes;
}

function standingNotes({ standing, message }: NotebookModel, trans: TranslationBundle): INote[] {
  const alert = (text: string): INote[] => [{ key: standing, weight: 'alert', text }];
  const note = (text: string): INote[] => [{ key: standing, weight: 'note', text }];
  switch (standing) {
    case 'none':
      return note(message || trans.__('This notebook has no kernel.'));
    case 'connecting':
      return note(message || trans.__('Looking for the kernel…'));
    case 'unloaded':
      return note(message || trans.__('Orchestra is not loaded in this kernel.'));
    case 'mismatch':
      return alert(message || trans.__('Page and kernel have different versions: reload the page.'));
    default:
      return alert(message || trans.__('The kernel is restarting, dead or disconnected.'));
  }
}

/** Whether the extension can be loaded into the notebook's kernel; a message says why it can't. */
export function canLoad(notebook: NotebookModel | null): boolean {
  return notebook?.standing === 'unloaded' && notebook.message === '';
}

export interface IStandingProps {
  notebook: NotebookModel;
  /** Why what was asked of all tasks was refused. */
  notice: string;
  trans: TranslationBundle;
  load(): Promise<string>;
  copy(): void;
}

export function Standing({ notebook, notice, trans, load, copy }: IStandingProps): JSX.Element | null {
  const notes = notesOf(notebook, trans);
  return (
    <div className="jp-Orchestra-standing" role="status">
      {notes.map(({ key, weight, text }) => (
        <p key={key} className={`jp-mod-${weight}`}>
          {text}
        </p>
      ))}
      {notice !== '' && <p className="jp-mod-alert">{notice}</p>}
      {canLoad(notebook) && <LoadLine trans={trans} load={load} copy={copy} />}
    </div>
  );
}

function LoadLine({ trans, load, copy }: Pick<IStandingProps, 'trans' | 'load' | 'copy'>): JSX.Element {
  const [loading, setLoading] = useState(false);
  const [failure, setFailure] = useState('');
  const onLoad = async (): Promise<void> => {
    setLoading(true);
    setFailure(await load());
    setLoading(false);
  };
  return (
    <>
      <div className="jp-Orchestra-load">
        <code>{LOAD_LINE}</code>
        <button
          type="button"
          className="jp-Orchestra-button"
          aria-label={trans.__('Copy')}
          title={trans.__('Copy')}
          onClick={copy}
        >
          <Glyph name="copy" />
        </button>
        <button
          type="button"
          className="jp-Orchestra-dispatch"
          aria-disabled={loading}
          onClick={loading ? undefined : () => void onLoad()}
        >
          {loading ? trans.__('Loading…') : trans.__('Load it here')}
        </button>
      </div>
      {failure !== '' && <p className="jp-mod-alert">{failure}</p>}
    </>
  );
}
