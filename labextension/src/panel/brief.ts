/** Shows what a task was given to do, coloured where it is code. It runs nothing. */
import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { PanelLayout, Widget } from '@lumino/widgets';

const LANGUAGES: ReadonlyMap<string, string> = new Map([
  ['kernel', 'python'],
  ['loop', 'python'],
  ['browser', 'python'],
  ['cluster', 'python'],
  ['shell', 'bash'],
  ['notebook', 'python']
]);

/** A brief, set when it is known. */
export class Brief extends Widget {
  constructor(private _rendermime: IRenderMimeRegistry) {
    super();
    this.addClass('jp-OrchestraPanel-brief');
    this.layout = new PanelLayout();
  }

  async setText(text: string, worker: string): Promise<void> {
    if (text === this._text) {
      return;
    }
    this._text = text;
    const language = LANGUAGES.get(worker);
    const drawn = language === undefined ? plain(text) : await this._colour(text, language);
    if (text !== this._text || this.isDisposed) {
      drawn.dispose();
      return;
    }
    const layout = this.layout as PanelLayout;
    [...layout.widgets].forEach(widget => widget.dispose());
    layout.addWidget(drawn);
    this.node.querySelectorAll('pre').forEach(pre => (pre.tabIndex = 0)); // it scrolls, so the keyboard must reach it
  }

  private async _colour(text: string, language: string): Promise<Widget> {
    const fence = fenceFor(text);
    const source = `${fence}${language}\n${text}\n${fence}`;
    const renderer = this._rendermime.createRenderer('text/markdown');
    await renderer.renderModel(this._rendermime.createModel({ data: { 'text/markdown': source } }));
    return renderer;
  }

  private _text = '';
}

function plain(text: string): Widget {
  const node = document.createElement('pre');
  node.textContent = text;
  return new Widget({ node });
}

/** A fence that the text can't close. */
export function fenceFor(text: string): string {
  const longest = Math.max(2, ...(text.match(/`+/g) ?? []).map(run => run.length));
  return '`'.repeat(longest + 1);
}
