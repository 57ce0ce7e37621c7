/** What there is to see of one task, put together. What is in each part is drawn elsewhere. */
import '../../style/panel.css';

import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { NotebookPanel } from '@jupyterlab/notebook';
import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ReactWidget } from '@jupyterlab/ui-components';
import { Panel, Widget } from '@lumino/widgets';
import React from 'react';

import { Artifacts } from './artifacts';
import { Brief } from './brief';
import { Ids } from '../commands';
import { fetchArtifact } from './fetching';
import type { OrchestraModel } from '../model';
import { hasEnded } from '../model';
import { LiveOutput } from './outputs';
import { PanelHeader } from './panelHeader';
import { panelOf } from '../places';
import type { IArtifactLine, ICard } from '../protocol';
import { Section } from './section';
import { Story } from './story';
import { TerminalPlace } from './terminalPlace';
import type { IUi } from '../ui';
import { createUntrustedRegistry } from './untrusted';
import { createViewer } from './viewer';
import { TaskWatch } from './watch';

/** All that there is to see of one task. */
export class TaskPanel extends Panel {
  constructor(
    private _app: JupyterFrontEnd,
    private _model: OrchestraModel,
    private _ui: IUi,
    readonly uid: string,
    private _name = ''
  ) {
    super();
    const { actions, disclosures, rendermime, trans } = _ui;
    this.addClass('jp-OrchestraPanel');
    this._untrusted = createUntrustedRegistry(rendermime);
    this._watch = new TaskWatch(_model, uid);
    this._header = new Drawn(() => this._drawHeader());
    this._output = new LiveOutput({ trusted: rendermime, untrusted: this._untrusted }, trans);
    this._brief = new Brief(rendermime);
    this._story = new Drawn(() => <Story story={this._watch.detail?.story ?? []} trans={trans} />);
    this._artifacts = new Drawn(() => this._drawArtifacts());
    this._artifactSection = new Section(trans.__('Artifacts'), this._artifacts);
    this._body = new Panel();
    this._body.addClass('jp-OrchestraPanel-body');
    const outputs = new Section(trans.__('Output'), this._output);
    this._terminal = new TerminalPlace(this._watch, outputs, trans);
    this._body.addWidget(outputs);
    this._body.addWidget(this._talk);
    this._body.addWidget(new Section(trans.__('Brief'), this._brief));
    this._body.addWidget(new Section(trans.__('Story'), this._story));
    this._body.addWidget(this._artifactSection);
    this._talk.addClass('jp-OrchestraPanel-talk');
    this.addWidget(this._header);
    this.addWidget(this._body);
    this._watch.changed.connect(this._refresh, this);
    actions.changed.connect(this._header.update, this._header);
    disclosures.changed.connect(this._header.update, this._header);
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
    return notebook === null ? null : panelOf(this._ui.tracker, notebook);
  }

  /** Say whose panel it is. */
  nameItself(): void {
    const { card } = this._watch;
    const { trans } = this._ui;
    this.title.label = (card?.name ?? this._name) || trans.__('Task');
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
    const { trans } = this._ui;
    this.nameItself();
    this._output.setEmpty(card !== null && hasEnded(card) ? trans.__('No output.') : trans.__('No output yet.'));
    this._output.setNotes(detail?.notes ?? []);
    if (detail !== null && card !== null) {
      void this._brief.setText(detail.brief, card.worker);
      this._terminal.refresh(card, detail);
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
    const { actions, disclosures, labShell, trans } = this._ui;
    if (card === null || notebook === null) {
      return <p className="jp-OrchestraPanel-away">{this._lament()}</p>;
    }
    const { question } = card;
    return (
      <PanelHeader
        card={card}
        notebook={notebook}
        whereabouts={whereabouts}
        explanation={detail?.explanation ?? ''}
        lack={this._watch.lack}
        pending={actions.pendingOf(card.uid)}
        problem={actions.refusalOf(card)}
        act={action => void actions.act(notebook, card, action)}
        answer={verdict => question !== null && void actions.answer(notebook, card, question, verdict)}
        answerable={!actions.rests}
        disclosed={question !== null && disclosures.isOpen(question)}
        disclose={() => question !== null && disclosures.toggle(question)}
        goToCell={() => void this._app.commands.execute(Ids.goToCell, { uid: card.uid })}
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
        trans={this._ui.trans}
      />
    );
  }

  /** What to say of a task that was never seen: its kernel may still be looked for. */
  private _lament(): string {
    const { trans } = this._ui;
    return this._model.notebooks.some(notebook => notebook.standing === 'connecting')
      ? trans.__('Looking for the kernel…')
      : trans.__('No open notebook knows this task.');
  }

  private async _fetch(artifact: IArtifactLine, onProgress: (part: number) => void): Promise<Uint8Array> {
    const { notebook, whereabouts } = this._watch;
    if (notebook === null || whereabouts !== 'here') {
      throw new Error(this._ui.trans.__('the kernel is not there'));
    }
    return fetchArtifact(notebook, this.uid, artifact.name, onProgress, this._ui.trans);
  }

  private async _open(artifact: IArtifactLine, bytes: Uint8Array): Promise<void> {
    const viewer = await createViewer(artifact, bytes, this._untrusted);
    const isLab = this._ui.labShell !== null;
    const options = isLab ? { mode: 'tab-after' as const, ref: this.parent?.id } : { rank: 920 };
    this._app.shell.add(viewer, isLab ? 'main' : 'right', { ...options, type: 'Orchestra' });
    this._app.shell.activateById(viewer.id);
  }

  /** The frame of the conversation where the worker takes messages; one line where it does not. */
  private async _offerTalk(card: ICard): Promise<void> {
    const { trans } = this._ui;
    if (!card.steerable) {
      this._talk.setHidden(this._terminal.isTaken);
      if (this._talk.widgets.length === 0) {
        const line = new Widget({ node: document.createElement('p') });
        line.addClass('jp-OrchestraPanel-notice');
        line.node.textContent = hasEnded(card)
          ? trans.__('The task has ended: it takes no messages.')
          : trans.__('The worker %1 takes no messages.', card.worker);
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
    const answer = await this._watch.notebook?.ask({ type: 'Steer', task: this.uid, text });
    return answer?.ok === true ? '' : answer?.message || this._ui.trans.__('the kernel is not there');
  }

  private _artifactSection: Section;
  private _artifacts: Widget;
  private _body: Panel;
  private _brief: Brief;
  private _hasTalk = false;
  private _header: Widget;
  private _output: LiveOutput;
  private _story: Widget;
  private _talk = new Panel();
  private _terminal: TerminalPlace;
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
