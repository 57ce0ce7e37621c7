/** Shows the terminal of a task, drawn by xterm. Nothing else knows that package; this knows no kernel. */
import '@xterm/xterm/css/xterm.css';
import '../../style/terminal.css';

import type { TranslationBundle } from '@jupyterlab/translation';
import { UUID } from '@lumino/coreutils';
import type { Message } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';
import { FitAddon } from '@xterm/addon-fit';
import type { ITheme } from '@xterm/xterm';
import { Terminal } from '@xterm/xterm';

import { isReport, Keystrokes, type Type } from './keystrokes';
import type { IShown } from './watch';

const LINES = 5000; // kept above what is seen
const TWICE = 350; // ms within which two Escapes leave the terminal, as in JupyterLab's own
const SETTLED = 100; // ms after which a new size is told
const IS_MAC = /Mac/i.test(navigator.platform);
const CONTRAST = 4.5; // of text and background, whatever colours a program chooses
/** Titles, links and the clipboard: what a program puts out stays in its canvas. */
const REFUSED = [0, 1, 2, 8, 52];

/** Where a terminal is told what the person does. */
export interface IKeyboard {
  type: Type;
  resize(rows: number, columns: number): void;
}

/** The terminal of one task. */
export class TerminalView extends Widget {
  constructor(
    name: string,
    private _keyboard: IKeyboard,
    private _trans: TranslationBundle
  ) {
    super();
    this.addClass('jp-OrchestraTerminal');
    this._label = _trans.__('Terminal of %1', name);
    this._frame.className = 'jp-OrchestraTerminal-frame';
    this._hint.className = 'jp-OrchestraPanel-notice';
    this._hint.id = `jp-orchestra-${UUID.uuid4()}`;
    this._problem.className = 'jp-OrchestraPanel-problem';
    this._problem.setAttribute('role', 'alert');
    this._notes.className = 'jp-OrchestraPanel-notice';
    this.node.append(this._frame, this._problem, this._hint, this._notes);
    this._keys = new Keystrokes(
      text => this._keyboard.type(text),
      problem => this._say(problem),
      () => _trans.__('This is too much to type at once (at most 64 kB): put it in a file.')
    );
    this._term.loadAddon(this._fit);
    for (const code of REFUSED) {
      this._term.parser.registerOscHandler(code, () => true);
    }
    this._term.attachCustomKeyEventHandler(event => this._isForProgram(event));
    this._term.onData(data => this._take(data));
    this._term.onResize(() => this._tellSize());
    this._frame.addEventListener('keydown', event => this._onKey(event), true);
    this._say('');
    this.setNotes([]);
  }

  override dispose(): void {
    window.clearTimeout(this._later);
    this._sizes.disconnect();
    this._themes.disconnect();
    this._term.dispose();
    super.dispose();
  }

  /** Show more. What is fresh begins anew, and what it asks the terminal was answered when it first came. */
  write({ fresh, text }: IShown): void {
    if (!fresh) {
      this._term.write(text);
      return;
    }
    this._replays += 1;
    this._term.reset();
    this._term.write(text, () => {
      this._replays -= 1;
    });
    this._tellSize();
  }

  /** Whether what is typed reaches the program, and what is said below the terminal of that. */
  setLive(isLive: boolean, hint: string): void {
    if (isLive !== this._isLive) {
      this._isLive = isLive;
      this._term.options.disableStdin = !isLive;
      this._term.options.cursorStyle = isLive ? 'block' : 'underline';
      this.toggleClass('jp-mod-readOnly', !isLive);
      this._say('');
      this._tellSize();
    }
    this._hint.textContent = isLive
      ? `${hint} ${this._trans.__('Click, or press Enter, to type; Escape twice leaves the terminal.')}`.trim()
      : hint;
  }

  /** What its kernel remarks on the output. */
  setNotes(notes: readonly string[]): void {
    this._notes.textContent = notes.join('\n');
    this._notes.hidden = notes.length === 0;
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    if (this._term.element === undefined) {
      this._open();
    }
  }

  private _open(): void {
    this._dress();
    this._term.open(this._frame);
    const { textarea } = this._term;
    this._viewport = this._frame.querySelector<HTMLElement>('.xterm-viewport');
    // One stop for Tab, which does not trap it: from there Enter goes into the terminal.
    if (textarea !== undefined && this._viewport !== null) {
      textarea.tabIndex = -1;
      textarea.setAttribute('aria-label', this._label);
      textarea.setAttribute('aria-describedby', this._hint.id);
      textarea.dataset.lmSuppressShortcuts = 'true';
      this._viewport.tabIndex = 0;
      this._viewport.setAttribute('role', 'group');
      this._viewport.setAttribute('aria-label', this._label);
      this._viewport.setAttribute('aria-describedby', this._hint.id);
    }
    this._sizes.observe(this._frame);
    this._themes.observe(document.body, { attributeFilter: ['data-jp-theme-name', 'data-jp-theme-light'] });
  }

  /** Take the theme's type and colours over. */
  private _dress(): void {
    const style = getComputedStyle(this.node);
    const read = (name: string): string => style.getPropertyValue(name).trim();
    this._term.options.fontFamily = read('--jp-code-font-family') || 'monospace';
    this._term.options.fontSize = parseFloat(read('--jp-code-font-size')) || 13;
    this._term.options.theme = {
      background: read('--jp-layout-color0'),
      foreground: read('--jp-content-font-color1'),
      cursor: read('--jp-ui-font-color1'),
      cursorAccent: read('--jp-layout-color0'),
      selectionBackground: read('--jp-layout-color3'),
      selectionInactiveBackground: read('--jp-layout-color2')
    } satisfies ITheme;
  }

  private _refit(): void {
    if (this._term.element !== undefined && this._frame.offsetParent !== null) {
      this._fit.fit();
    }
  }

  private _tellSize(): void {
    window.clearTimeout(this._later);
    if (this._isLive) {
      const { rows, cols } = this._term;
      this._later = window.setTimeout(() => this._keyboard.resize(rows, cols), SETTLED);
    }
  }

  private _take(data: string): void {
    if (this._isLive && !(isReport(data) && (this._replays > 0 || document.visibilityState !== 'visible'))) {
      this._keys.add(data);
    }
  }

  /** Copying what is selected, and pasting, are the page's. */
  private _isForProgram(event: KeyboardEvent): boolean {
    if (IS_MAC || !event.ctrlKey) {
      return true;
    }
    return !(event.key === 'v' || (event.key === 'c' && this._term.hasSelection()));
  }

  private _onKey(event: KeyboardEvent): void {
    const { textarea } = this._term;
    if (event.key === 'Enter' && event.target === this._viewport) {
      textarea?.focus();
    } else if (event.key === 'Escape' && event.target === textarea && event.timeStamp - this._escaped < TWICE) {
      this._viewport?.focus();
    } else {
      this._escaped = event.key === 'Escape' ? event.timeStamp : -TWICE;
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  private _say(problem: string): void {
    this._problem.textContent = problem;
    this._problem.hidden = problem === '';
  }

  private _escaped = -TWICE;
  private _fit = new FitAddon();
  private _frame = document.createElement('div');
  private _hint = document.createElement('p');
  private _isLive = false;
  private _keys: Keystrokes;
  private _label: string;
  private _later = 0;
  private _notes = document.createElement('p');
  private _problem = document.createElement('p');
  private _replays = 0;
  private _sizes = new ResizeObserver(() => this._refit());
  private _term = new Terminal({
    disableStdin: true,
    linkHandler: { activate: () => undefined },
    minimumContrastRatio: CONTRAST,
    screenReaderMode: true,
    scrollback: LINES
  });
  private _themes = new MutationObserver(() => this._dress());
  private _viewport: HTMLElement | null = null;
}
