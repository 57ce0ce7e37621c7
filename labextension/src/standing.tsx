/** What the person should know of the notebook's kernel and journal. It knows how to say it, not how to change it. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useState } from 'react';

import { Glyph } from './glyphs';
import type { NotebookModel } from './model';
import { LOAD_LINE } from './places';

export interface INote {
  key: string;
  /** `alert` asks for something, `note` only says. */
  weight: 'alert' | 'note';
  text: string;
}

/** The notes for one notebook, the gravest first. */
export function notesOf(notebook: NotebookModel, language: string, trans: TranslationBundle): INote[] {
  const { standing, message } = notebook;
  if (standing !== 'ready') {
    return standingNotes(notebook, language, message, trans);
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

function standingNotes(notebook: NotebookModel, language: string, message: string, trans: TranslationBundle): INote[] {
  const alert = (text: string): INote[] => [{ key: notebook.standing, weight: 'alert', text }];
  const note = (text: string): INote[] => [{ key: notebook.standing, weight: 'note', text }];
  switch (notebook.standing) {
    case 'none':
      return note(message || trans.__('This notebook has no kernel.'));
    case 'connecting':
      return note(message || trans.__('Looking for the kernel…'));
    case 'unloaded':
      return language === '' || language === 'python'
        ? note(trans.__('Orchestra is not loaded in this kernel.'))
        : note(trans.__('Orchestra needs a Python kernel; this one speaks %1.', language));
    case 'mismatch':
      return alert(message || trans.__('Page and kernel have different versions: reload the page.'));
    default:
      return alert(message || trans.__('The kernel is restarting, dead or disconnected.'));
  }
}

export interface IStandingProps {
  notebook: NotebookModel;
  /** The language of its kernel, empty while unknown. */
  language: string;
  /** Why what was asked of all tasks was refused. */
  notice: string;
  trans: TranslationBundle;
  load(): Promise<string>;
  copy(): void;
}

export function Standing({ notebook, language, notice, trans, load, copy }: IStandingProps): JSX.Element | null {
  const notes = notesOf(notebook, language, trans);
  const canLoad = notebook.standing === 'unloaded' && (language === '' || language === 'python');
  return (
    <div className="jp-Orchestra-standing" role="status">
      {notes.map(({ key, weight, text }) => (
        <p key={key} className={`jp-mod-${weight}`}>
          {text}
        </p>
      ))}
      {notice !== '' && <p className="jp-mod-alert">{notice}</p>}
      {canLoad && <LoadLine trans={trans} load={load} copy={copy} />}
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
