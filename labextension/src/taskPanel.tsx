/** What there is to see of one task, put together. What is in each part is drawn elsewhere. */
import '../style/panel.css';

import type { ILabShell, JupyterFrontEnd } from '@jupyterlab/application';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import { Panel, Widget } from '@lumino/widgets';
import React from 'react';

import type { Action } from './actions';
import { Artifacts } from './artifacts';
import { Brief } from './brief';
import { fetchArtifact } from './fetching';
import type { OrchestraModel } from './model';
import { hasEnded } from './model';
import { LiveOutput } from './outputs';
import { PanelHeader } from './panelHeader';
import { goToCell, panelOf } from './places';
import type { IArtifactLine, ICard } from './protocol';
import { Section } from './section';
import { Story } from './story';
import { createUntrustedRegistry } from './untrusted';
import { createViewer } from './viewer';
import { TaskWatch } from './watch';

/** What a panel needs of the application. */
export interface IPanelDeps {
  tracker: INotebookTracker;
  rendermime: IRenderMimeRegistry;
  labShell: ILabShell | null;
  trans: TranslationBundle;
}

/** All that there is to see of one task. */
export class TaskPanel extends Panel {
  constructor(
    private _app: JupyterFrontEnd,
    model: OrchestraModel,
    private _deps: IPanelDeps,
    uid: string
  ) {
    super();
    const { rendermime, trans } = _deps;
    this.addClass('jp-OrchestraPanel');
    this._untrusted = createUntrustedRegistry(rendermime);
    this._watch = new TaskWatch(model, uid);
    this._header = new Drawn(() => this._drawHeader());
    this._output = new LiveOutput({ trusted: rendermime, untrusted: this._untrusted }, trans);
    this._brief = new Brief(rendermime);
    this._story = new Drawn(() => <Story story={this._watch.detail?.story ?? []} trans={trans} />);
    this._artifacts = new Drawn(() => this._drawArtifacts());
    this._artifactSection = new Section(trans.__('Artifacts'), this._artifacts);
    this._body = new Panel();
    this._body.addClass('jp-OrchestraPanel-body');
    this._body.addWidget(new Section(trans.__('Output'), this._output));
    this._body.addWidget(this._talk);
    this._body.addWidget(new Section(trans.__('Brief'), this._brief));
    this._body.addWidget(new Section(trans.__('Story'), this._story));
    this._body.addWidget(this._artifactSection);
    this._talk.addClass('jp-OrchestraPanel-talk');
    this.addWidget(this._header);
    this.addWidget(this._body);
    this._watch.changed.connect(this._refresh, this);
    this._watch.came.connect((_, news) => this._output.take(news, this._isTrusted()));
    this._refresh();
  }

  override dispose(): void {
    this._watch.dispose();
    super.dispose();
  }

  /** The notebook that the task belongs to, as a widget. */
  findNotebook(): NotebookPanel | null {
    const { notebook } = this._watch;
    return notebook === null ? null : panelOf(this._deps.tracker, notebook);
  }

  /** Say whose panel it is. */
  nameItself(): void {
    const { card } = this._watch;
    const { trans } = this._deps;
    this.title.label = card?.name ?? trans.__('Task');
    this.title.caption = card === null ? '' : trans.__('Task %1 · %2', card.name, card.worker);
    this.node.setAttribute('aria-label', trans.__('Task %1', this.title.label));
  }

  protected override onActivateRequest(): void {
    this.node.focus();
  }

  /** Only what the person wrote is drawn as trusted, whatever else is said of it. */
  private _isTrusted(): boolean {
    const detail = this._watch.detail;
    return detail !== null && detail.trusted && detail.kind === 'code';
  }

  private _refresh(): void {
    const { card, detail } = this._watch;
    const { trans } = this._deps;
    this.nameItself();
    this._output.setEmpty(card !== null && hasEnded(card) ? trans.__('No output.') : trans.__('No output yet.'));
    this._output.setNotes(detail?.notes ?? []);
    if (detail !== null && card !== null) {
      void this._brief.setText(detail.brief, card.worker);
      this._artifactSection.setCount(detail.artifacts.length > 0 ? String(detail.artifacts.length) : '');
    }
    if (card !== null) {
      void this._offerTalk(card);
    }
    this._header.update();
    this._story.update();
    this._artifacts.update();
  }

  private _drawHeader(): JSX.Element {
    const { card, detail, notebook, whereabouts } = this._watch;
    const { labShell, trans } = this._deps;
    if (card === null || notebook === null) {
      return <p className="jp-OrchestraPanel-away">{trans.__('No open notebook knows this task.')}</p>;
    }
    return (
      <PanelHeader
        card={card}
        notebook={notebook}
        whereabouts={whereabouts}
        explanation={detail?.explanation ?? ''}
        problem={this._problem}
        act={action => void this._act(action)}
        goToCell={() => void this._goToCell(card)}
        close={labShell === null ? () => this.dispose() : null}
        trans={trans}
      />
    );
  }

  private _drawArtifacts(): JSX.Element {
    const { card, detail } = this._watch;
    return (
      <Artifacts
        artifacts={detail?.artifacts ?? []}
        isComplete={card !== null && hasEnded(card)}
        fetch={(artifact, onProgress) => this._fetch(artifact, onProgress)}
        open={(artifact, bytes) => this._open(artifact, bytes)}
        trans={this._deps.trans}
      />
    );
  }

  private async _act(action: Action): Promise<void> {
    const answer = await this._watch.notebook?.ask({ type: 'Act', action, tasks: [this._watch.uid] });
    this._problem = answer?.ok === false ? answer.message : '';
    this._header.update();
  }

  private async _goToCell(card: ICard): Promise<void> {
    const { notebook } = this._watch;
    const found = notebook !== null && (await goToCell(this._app, this._deps.tracker, notebook, card));
    this._problem = found ? '' : this._deps.trans.__('The cell of this task is gone.');
    this._header.update();
  }

  private async _fetch(artifact: IArtifactLine, onProgress: (part: number) => void): Promise<Uint8Array> {
    const { notebook, uid, whereabouts } = this._watch;
    if (notebook === null || whereabouts !== 'here') {
      throw new Error(this._deps.trans.__('the kernel is not there'));
    }
    return fetchArtifact(notebook, uid, artifact.name, onProgress);
  }

  private async _open(artifact: IArtifactLine, bytes: Uint8Array): Promise<void> {
    const viewer = await createViewer(artifact, bytes, this._untrusted);
    const isLab = this._deps.labShell !== null;
    const options = isLab ? { mode: 'tab-after' as const, ref: this.parent?.id } : { rank: 920 };
    this._app.shell.add(viewer, isLab ? 'main' : 'right', { ...options, type: 'Orchestra' });
    this._app.shell.activateById(viewer.id);
  }

  /** The frame of the conversation where the worker takes messages; one line where it does not. */
  private async _offerTalk(card: ICard): Promise<void> {
    const { trans } = this._deps;
    if (!card.steerable) {
      if (this._talk.widgets.length === 0) {
        const line = new Widget({ node: document.createElement('p') });
        line.addClass('jp-OrchestraPanel-notice');
        line.node.textContent = trans.__('The worker %1 takes no messages.', card.worker);
        this._talk.addWidget(line);
      }
      return;
    }
    if (this._hasTalk) {
      return;
    }
    this._hasTalk = true;
    const { createConversation, WorkerConversation } = await import('./chat');
    if (this.isDisposed) {
      return;
    }
    const conversation = new WorkerConversation(card.name, text => this._steer(text), trans);
    this.disposed.connect(() => conversation.dispose());
    [...this._talk.widgets].forEach(widget => widget.dispose());
    this._talk.addWidget(
      new Section(trans.__('Conversation'), createConversation(conversation, this._untrusted, trans))
    );
  }

  private async _steer(text: string): Promise<string> {
    const { notebook, uid } = this._watch;
    const answer = await notebook?.ask({ type: 'Steer', task: uid, text });
    return answer === undefined || answer.ok ? '' : answer.message;
  }

  private _artifactSection: Section;
  private _artifacts: Widget;
  private _body: Panel;
  private _brief: Brief;
  private _hasTalk = false;
  private _header: Widget;
  private _output: LiveOutput;
  private _problem = '';
  private _story: Widget;
  private _talk = new Panel();
  private _untrusted: IRenderMimeRegistry;
  private _watch: TaskWatch;
}

/** What React draws, again at each update. */
class Drawn extends ReactWidget {
  constructor(private _draw: () => JSX.Element) {
    super();
  }

  protected render(): JSX.Element {
    return this._draw();
  }
}
