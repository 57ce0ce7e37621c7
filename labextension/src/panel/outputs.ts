/** Shows a task's outputs as they come, the last of them when there are too many. It knows no task and no kernel. */
import type { IOutput } from '@jupyterlab/nbformat';
import { isStream } from '@jupyterlab/nbformat';
import { OutputAreaModel, SimplifiedOutputArea } from '@jupyterlab/outputarea';
import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { TranslationBundle } from '@jupyterlab/translation';
import { JSONExt } from '@lumino/coreutils';
import { PanelLayout, Widget } from '@lumino/widgets';

import type { INews, Output } from './watch';

const MOST = 2000; // outputs and lines kept in the page
const PAGE = 400; // of which so many go at a time
const NEAR = 24; // pixels from the end that still count as its end

/** Whose renderers draw what is trusted and what is not. */
export interface IRegistries {
  trusted: IRenderMimeRegistry;
  untrusted: IRenderMimeRegistry;
}

/** Outputs in one output area. Whole pages go from the front: an output area loses count when single ones do. */
interface IPage {
  area: SimplifiedOutputArea;
  model: OutputAreaModel;
  weight: number; // outputs, and lines beyond each one's first
}

/** The live output of a task. */
export class LiveOutput extends Widget {
  constructor(
    private _registries: IRegistries,
    private _trans: TranslationBundle
  ) {
    super();
    this.addClass('jp-OrchestraPanel-output');
    this.node.tabIndex = 0;
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', _trans.__('Outputs'));
    this.layout = new PanelLayout();
    this._notice = new Widget({ node: document.createElement('p') });
    this._notice.addClass('jp-OrchestraPanel-notice');
    this._notes = new Widget({ node: document.createElement('p') });
    this._notes.addClass('jp-OrchestraPanel-notice');
    this._column.addWidget(this._notice);
    this._column.addWidget(this._notes);
    this.setNotes([]);
    this._observer = new ResizeObserver(() => this._settle());
    this.node.addEventListener('scroll', () => this._noteScroll(), { passive: true });
    this._announce();
  }

  override dispose(): void {
    this._observer.disconnect();
    super.dispose();
  }

  /** Take in what has come. What is drawn as trusted was written by the person. */
  take(news: INews, trusted: boolean): void {
    if (!news.fresh) {
      this._skipped += news.skipped;
      this._add(news.outputs);
    } else if (trusted !== this._trusted || !this._shows(news.outputs)) {
      this._trusted = trusted;
      this._clear();
      this._add(news.outputs);
    }
    if (news.fresh) {
      this._skipped = news.skipped;
    }
    this._announce();
    this._settle();
  }

  /** Say what stands where nothing was put out. */
  setEmpty(text: string): void {
    this._empty = text;
    this._announce();
  }

  /** What its kernel remarks on the outputs, below them. */
  setNotes(notes: readonly string[]): void {
    this._notes.node.textContent = notes.join('\n');
    this._notes.setHidden(notes.length === 0);
  }

  private _add(outputs: readonly Output[]): void {
    for (const output of outputs) {
      switch (output.output_type) {
        case 'clear_output':
          this._clearsNext = output.wait === true;
          if (!this._clearsNext) {
            this._clear();
          }
          break;
        case 'update_display_data':
          this._update(output);
          break;
        default:
          this._append(output as IOutput);
      }
    }
    this._trim();
  }

  private _append(output: IOutput): void {
    if (this._clearsNext) {
      this._clear();
    }
    if (!isStream(output)) {
      this._push(output, 1);
      return;
    }
    const lines = joined(output.text).split('\n');
    if (lines.length > MOST) {
      this._cut = true;
    }
    const kept = lines.slice(-MOST);
    for (let at = 0; at < kept.length; at += PAGE) {
      const text = kept.slice(at, at + PAGE).join('\n') + (at + PAGE < kept.length ? '\n' : '');
      if (text !== '') {
        this._push({ ...output, text }, text.split('\n').length);
      }
    }
  }

  private _push(output: IOutput, weight: number): void {
    const page = this._lastPage(isStream(output) ? output.name : null);
    page.model.add(output);
    page.weight += weight;
    const display = (output.transient as { display_id?: unknown } | undefined)?.display_id;
    if (typeof display === 'string') {
      const places = this._displays.get(display) ?? [];
      this._displays.set(display, [...places, { page, index: page.model.length - 1 }]);
    }
  }

  /** The page that takes the next output. A stream stays in its page until its line ends: bars draw over it. */
  private _lastPage(stream: string | null): IPage {
    const last = this._pages[this._pages.length - 1];
    if (last !== undefined && (last.weight < PAGE || (stream !== null && endsOpen(last.model, stream)))) {
      return last;
    }
    const model = new OutputAreaModel({ trusted: this._trusted });
    const rendermime = this._trusted ? this._registries.trusted : this._registries.untrusted;
    const area = new SimplifiedOutputArea({ model, rendermime });
    const page = { area, model, weight: 0 };
    this._pages.push(page);
    this._column.insertWidget(this._column.widgets.length - 1, area);
    this._observer.observe(area.node);
    return page;
  }

  private _update(update: Output): void {
    for (const { page, index } of this._displays.get(String(update.transient?.display_id)) ?? []) {
      const old = page.model.get(index).toJSON();
      page.model.set(index, { ...old, data: update.data, metadata: update.metadata } as IOutput);
    }
  }

  private _trim(): void {
    let weight = this._pages.reduce((sum, page) => sum + page.weight, 0);
    while (this._pages.length > 1 && weight - this._pages[0]!.weight >= MOST) {
      const page = this._pages.shift()!;
      weight -= page.weight;
      this._drop(page);
      this._cut = true;
    }
  }

  private _clear(): void {
    this._pages.splice(0).forEach(page => this._drop(page));
    this._displays.clear();
    this._clearsNext = false;
    this._cut = false;
    this._skipped = 0;
  }

  private _drop(page: IPage): void {
    for (const [display, places] of this._displays) {
      const left = places.filter(place => place.page !== page);
      left.length > 0 ? this._displays.set(display, left) : this._displays.delete(display);
    }
    this._observer.unobserve(page.area.node);
    page.area.dispose();
    page.model.dispose();
  }

  /** Whether just these outputs are shown already: a task that ends sends again what came live. */
  private _shows(outputs: readonly Output[]): boolean {
    const shown = this._pages.flatMap(page => page.model.toJSON());
    return !this._cut && this._skipped === 0 && JSONExt.deepEqual(merged(shown), merged(outputs as IOutput[]));
  }

  private _announce(): void {
    const lines: string[] = [];
    if (this._skipped > 0) {
      const [one, many] = ['%1 output before this is not kept.', '%1 outputs before this are not kept.'];
      lines.push(this._trans._n(one, many, this._skipped));
    }
    if (this._cut) {
      lines.push(this._trans.__('Only about the last %1 lines and outputs are shown.', MOST.toLocaleString()));
    }
    if (this._pages.length === 0) {
      lines.push(this._empty);
    }
    this._notice.node.textContent = lines.join(' ');
    this._notice.setHidden(lines.join('') === '');
  }

  private _noteScroll(): void {
    const { scrollHeight, scrollTop, clientHeight } = this.node;
    if (scrollHeight - scrollTop - clientHeight < NEAR) {
      this._isAtEnd = true;
    } else if (scrollTop < this._top && scrollHeight >= this._height) {
      this._isAtEnd = false; // only a person moves up while nothing was taken away
    }
    this._top = scrollTop;
    this._height = scrollHeight;
  }

  private _settle(): void {
    for (const image of this.node.querySelectorAll('img:not([alt])')) {
      image.setAttribute('alt', this._trans.__('Picture in the output'));
    }
    if (this._isAtEnd) {
      this.node.scrollTop = this.node.scrollHeight;
    }
  }

  private get _column(): PanelLayout {
    return this.layout as PanelLayout;
  }

  private _notes: Widget;
  private _notice: Widget;
  private _observer: ResizeObserver;
  private _pages: IPage[] = [];
  private _displays = new Map<string, { page: IPage; index: number }[]>();
  private _trusted = false;
  private _clearsNext = false;
  private _isAtEnd = true;
  private _top = 0;
  private _height = 0;
  private _cut = false;
  private _skipped = 0;
  private _empty = '';
}

function joined(text: string | readonly string[]): string {
  return typeof text === 'string' ? text : text.join('');
}

function endsOpen(model: OutputAreaModel, stream: string): boolean {
  const last = model.length > 0 ? model.get(model.length - 1).toJSON() : null;
  return last !== null && isStream(last) && last.name === stream && !joined(last.text).endsWith('\n');
}

/** The same outputs with neighbours of one stream as one, and nothing that only matters while they come. */
function merged(outputs: readonly IOutput[]): IOutput[] {
  const all: IOutput[] = [];
  for (const { transient: _, ...output } of outputs) {
    const last = all[all.length - 1];
    if (last !== undefined && isStream(last) && isStream(output as IOutput) && last.name === output.name) {
      last.text = joined(last.text) + joined((output as unknown as { text: string }).text);
    } else {
      all.push(output as IOutput);
    }
  }
  return all;
}
