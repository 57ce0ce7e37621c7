/** Opens the panel of a task and finds its place. It knows nothing of what is in it. */
import type { JupyterFrontEnd } from '@jupyterlab/application';
import { MainAreaWidget } from '@jupyterlab/apputils';

import { orchestraIcon } from './icon';
import type { OrchestraModel } from './model';
import { TaskPanel } from './panel/taskPanel';
import type { IUi } from './ui';

type Tab = MainAreaWidget<TaskPanel>;

/** Show the panel of a task; the one that is open already, if there is one. `name` serves until the task is known. */
export async function openPanel(
  app: JupyterFrontEnd,
  model: OrchestraModel,
  ui: IUi,
  uid: string,
  name?: string
): Promise<void> {
  const open = ui.tabs.panels.find(panel => panel.content.uid === uid);
  const panel = open ?? (await createPanel(app, ui, new TaskPanel(app, model, ui, uid, name)));
  app.shell.activateById(panel.id);
}

async function createPanel(app: JupyterFrontEnd, ui: IUi, content: TaskPanel): Promise<Tab> {
  const panel = new MainAreaWidget({ content });
  panel.id = `jupyter-orchestra-panel-${content.uid}`;
  panel.toolbar.hide();
  panel.title.icon = orchestraIcon;
  content.nameItself(); // the main area has its own name for what is in it
  place(app, ui, panel);
  await ui.tabs.panels.add(panel);
  return panel;
}

/** Beside the notebook at first, then with the other panels; in Notebook 7 on the right. */
function place(app: JupyterFrontEnd, { labShell, tabs }: IUi, panel: Tab): void {
  if (labShell === null) {
    app.shell.add(panel, 'right', { rank: 910, type: 'Orchestra' });
    return;
  }
  const other = tabs.panels.find(() => true);
  if (other !== undefined) {
    app.shell.add(panel, 'main', { mode: 'tab-after', ref: other.id, activate: false, type: 'Orchestra' });
  } else {
    const ref = panel.content.findNotebook()?.id ?? null;
    app.shell.add(panel, 'main', { mode: 'split-right', ref, activate: false, type: 'Orchestra' });
  }
}
