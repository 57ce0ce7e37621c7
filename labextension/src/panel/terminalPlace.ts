/** Puts the terminal of a task in the place of its outputs, once there is one. It knows not how it is drawn. */
import type { TranslationBundle } from '@jupyterlab/translation';
import type { PanelLayout } from '@lumino/widgets';

import { hasEnded } from '../model';
import type { ICard, IDetail } from '../protocol';
import { Section } from './section';
import type { TerminalView } from './terminal';
import type { TaskWatch } from './watch';

/** Where a task's terminal stands. */
export class TerminalPlace {
  /** @param _outputs gives its place to the terminal */
  constructor(
    private _watch: TaskWatch,
    private _outputs: Section,
    private _trans: TranslationBundle
  ) {
    _watch.showed.connect(async (_, shown) => (await this._terminal)?.write(shown));
  }

  /** Whether there is a terminal. */
  get isTaken(): boolean {
    return this._terminal !== null;
  }

  /** The task, or what is known of it, has changed. */
  refresh(card: ICard, detail: IDetail): void {
    if (detail.terminal && this._terminal === null) {
      this._terminal = this._create(card.name);
    }
    void this._terminal?.then(terminal => {
      if (!terminal.isDisposed) {
        terminal.setLive(this._watch.whereabouts === 'here' && card.state === 'running', this._hintOf(card));
        terminal.setNotes(detail.notes);
      }
    });
  }

  private async _create(name: string): Promise<TerminalView> {
    const { TerminalView } = await import('./terminal');
    const type = (text: string) => this._type(text);
    const resize = (rows: number, columns: number) => this._resize(rows, columns);
    const terminal = new TerminalView(name, { type, resize }, this._trans);
    const body = this._outputs.parent?.layout as PanelLayout | undefined;
    if (body === undefined) {
      terminal.dispose(); // the panel was closed meanwhile
    } else {
      this._outputs.hide();
      body.insertWidget(0, new Section(this._trans.__('Terminal'), terminal));
    }
    return terminal;
  }

  private async _type(text: string): Promise<string> {
    const answer = await this._watch.notebook?.ask({ type: 'Type', ...this._which, text });
    return answer?.ok === true ? '' : answer?.message || this._trans.__('The kernel is not there.');
  }

  private _resize(rows: number, columns: number): void {
    this._watch.notebook?.tell({ type: 'Resize', ...this._which, rows, columns });
  }

  private get _which(): { task: string; attempt: number } {
    return { task: this._watch.uid, attempt: this._watch.card?.attempt ?? 0 };
  }

  /** What stands below it. */
  private _hintOf(card: ICard): string {
    if (hasEnded(card)) {
      return this._trans.__('The task has ended: nothing can be typed into it any more.');
    }
    if (card.state === 'paused') {
      return this._trans.__('The task is paused: resume it to type.');
    }
    return card.origin === 'person' ? '' : this._trans.__('You did not write what runs here: what you type goes to it.');
  }

  private _terminal: Promise<TerminalView> | null = null;
}
