/** Wires the page: model, bridge, result cells and router for each notebook. It knows no message and no widget. */
import { ILabShell, ILayoutRestorer } from '@jupyterlab/application';
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { PageConfig } from '@jupyterlab/coreutils';
import type { NotebookPanel } from '@jupyterlab/notebook';
import { INotebookCellExecutor, INotebookTracker } from '@jupyterlab/notebook';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { IRunningSessionManagers } from '@jupyterlab/running';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import type { TranslationBundle } from '@jupyterlab/translation';

import { Bridge, localPath } from './bridge';
import { noteServerRuns } from './kernel/elsewhere';
import { NotebookModel, OrchestraModel } from './model';
import { routeCells, wrapExecutor } from './router';
import { readStorage } from './kernel/shelf';
import { activateUi } from './ui';
import { VERSION } from './version';

const DOMAIN = 'jupyter_orchestra';
/** Set in the page's configuration or in the browser's storage by tests that look inside. */
const TEST = 'jupyter-orchestra:test';

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-orchestra:plugin',
  description: 'Shows the tasks of each notebook, brings results back as cells and keeps conversation cells from waiting.',
  autoStart: true,
  requires: [INotebookTracker, IRenderMimeRegistry],
  optional: [
    ILabShell,
    ILayoutRestorer,
    ITranslator,
    ICommandPalette,
    ISettingRegistry,
    IStatusBar,
    IRunningSessionManagers
  ],
  activate: (
    app: JupyterFrontEnd,
    tracker: INotebookTracker,
    rendermime: IRenderMimeRegistry,
    labShell: ILabShell | null,
    restorer: ILayoutRestorer | null,
    translator: ITranslator | null,
    palette: ICommandPalette | null,
    settings: ISettingRegistry | null,
    statusBar: IStatusBar | null,
    running: IRunningSessionManagers | null
  ): void => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const model = new OrchestraModel();
    followNotebooks(tracker, model, trans);
    activateUi(app, model, { tracker, rendermime, labShell, restorer, trans, palette, settings, statusBar, running });
    if (isTest()) {
      Object.assign(window, { jupyterOrchestra: { model, version: VERSION } });
    }
  }
};

/** On its own: where no executor is provided there is nothing to do. */
const executor: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-orchestra:executor',
  description: 'Takes conversation cells past an executor that runs cells on the server.',
  autoStart: true,
  optional: [INotebookCellExecutor],
  activate: (_: JupyterFrontEnd, given: INotebookCellExecutor | null): void => {
    if (given !== null) {
      noteServerRuns(given);
      wrapExecutor(given);
    }
  }
};

function followNotebooks(tracker: INotebookTracker, model: OrchestraModel, trans: TranslationBundle): void {
  const known = new Map<NotebookPanel, NotebookModel>();
  const add = (panel: NotebookPanel): void => {
    if (known.has(panel) || panel.isDisposed) {
      return;
    }
    const notebook = new NotebookModel(panel.id, localPath(panel.context.path));
    known.set(panel, notebook);
    model.add(notebook);
    keepCells(panel, notebook);
    routeCells(panel, notebook);
    watchTyping(panel, notebook);
    const bridge = new Bridge(panel, notebook, trans);
    panel.disposed.connect(() => {
      bridge.dispose();
      known.delete(panel);
      model.remove(notebook);
    });
  };
  const choose = (): void => {
    const panel = tracker.currentWidget;
    model.setCurrent(panel === null ? null : (known.get(panel) ?? null));
  };
  tracker.widgetAdded.connect((_, panel) => {
    add(panel);
    choose();
  });
  tracker.currentChanged.connect(choose);
  tracker.forEach(add);
  choose();
}

/** What is offered before this has loaded is offered again. */
function keepCells(panel: NotebookPanel, notebook: NotebookModel): void {
  const load = async (): Promise<void> => {
    const { ResultCells } = await import('./cells');
    if (!panel.isDisposed) {
      const cells = new ResultCells(panel, notebook);
      panel.disposed.connect(() => cells.dispose());
    }
  };
  load().catch(reason => console.error('Orchestra cannot bring results into this notebook:', reason));
}

/** Once there is someone to be told of it. */
function watchTyping(panel: NotebookPanel, notebook: NotebookModel): void {
  const look = (): void => {
    if (notebook.standing === 'ready') {
      notebook.changed.disconnect(look);
      import('./typing').then(
        ({ watchTyping: watch }) => panel.isDisposed || watch(panel, notebook),
        reason => console.error('Orchestra cannot tell that you type:', reason)
      );
    }
  };
  notebook.changed.connect(look);
}

function isTest(): boolean {
  return PageConfig.getOption(TEST) !== '' || readStorage('localStorage', TEST) !== null;
}

export default [plugin, executor];
