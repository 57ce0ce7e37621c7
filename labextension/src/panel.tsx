/** Opens the panel of a task and finds its place. It knows nothing of what is in it. */
import type { JupyterFrontEnd } from '@jupyterlab/application';
import { MainAreaWidget } from '@jupyterlab/apputils';
import type { Widget } from '@lumino/widgets';

import { orchestraIcon } from './icon';
import type { OrchestraModel } from './model';
import type { IPanelDeps } from './taskPanel';
import { TaskPanel } from './taskPanel';

const panels = new Map<string, MainAreaWidget<TaskPanel>>();

/** Show the panel of a task; the one that is open already, if there is one. */
export async function openPanel(
  app: JupyterFrontEnd,
  model: OrchestraModel,
  deps: IPanelDeps,
  uid: string
): Promise<void> {
  const panel = panels.get(uid) ?? createPanel(app, model, deps, uid);
  app.shell.activateById(panel.id);
}

function createPanel(
  app: JupyterFrontEnd,
  model: OrchestraModel,
  deps: IPanelDeps,
  uid: string
): MainAreaWidget<TaskPanel> {
  const content = new TaskPanel(app, model, deps, uid);
  const panel = new MainAreaWidget({ content });
  panel.id = `jupyter-orchestra-panel-${uid}`;
  panel.toolbar.hide();
  panel.title.icon = orchestraIcon;
  content.nameItself(); // the main area has its own name for what is in it
  place(app, deps, content, panel);
  panels.set(uid, panel);
  panel.disposed.connect(() => panels.delete(uid));
  return panel;
}

/** Beside the notebook at first, then with the other panels; in Notebook 7 on the right. */
function place(app: JupyterFrontEnd, deps: IPanelDeps, content: TaskPanel, panel: Widget): void {
  if (deps.labShell === null) {
    app.shell.add(panel, 'right', { rank: 910, type: 'Orchestra' });
    return;
  }
  const other = [...panels.values()].pop();
  if (other !== undefined) {
    app.shell.add(panel, 'main', { mode: 'tab-after', ref: other.id, activate: false, type: 'Orchestra' });
  } else {
    const ref = content.findNotebook()?.id ?? null;
    app.shell.add(panel, 'main', { mode: 'split-right', ref, activate: false, type: 'Orchestra' });
  }
}
