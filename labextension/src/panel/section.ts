/** A part of a panel with a heading that folds it. It knows nothing of what is in it. */
import { caretDownIcon } from '@jupyterlab/ui-components';
import { UUID } from '@lumino/coreutils';
import { PanelLayout, Widget } from '@lumino/widgets';

/** A heading with a button, and what it folds. */
export class Section extends Widget {
  constructor(
    title: string,
    readonly content: Widget,
    isOpen = true
  ) {
    super({ node: document.createElement('section') });
    this.addClass('jp-OrchestraPanel-section');
    const layout = (this.layout = new PanelLayout());
    this._button.type = 'button';
    this._button.className = 'jp-OrchestraPanel-fold';
    this._button.append(caretDownIcon.element({ tag: 'span' }), this._label, this._count);
    this._count.className = 'jp-OrchestraPanel-count';
    this._label.textContent = title;
    this._button.addEventListener('click', () => this.setOpen(this.content.isHidden));
    const heading = new Widget({ node: document.createElement('h3') });
    heading.node.append(this._button);
    content.id = content.id || `jp-orchestra-${UUID.uuid4()}`;
    this._button.setAttribute('aria-controls', content.id);
    layout.addWidget(heading);
    layout.addWidget(content);
    this.setOpen(isOpen);
  }

  setOpen(isOpen: boolean): void {
    this.content.setHidden(!isOpen);
    this._button.setAttribute('aria-expanded', String(isOpen));
    this.toggleClass('jp-mod-folded', !isOpen);
  }

  /** A word beside the title. */
  setCount(count: string): void {
    this._count.textContent = count;
  }

  private _button = document.createElement('button');
  private _label = document.createElement('span');
  private _count = document.createElement('span');
}
