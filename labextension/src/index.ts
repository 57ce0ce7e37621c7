/** Wires the sidebar into the application. It knows neither what the sidebar shows nor any kernel. */
import { ILabShell, ILayoutRestorer } from '@jupyterlab/application';
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { createSidebar, SIDEBAR_ID } from './sidebar';

const DOMAIN = 'jupyter_orchestra';

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-orchestra:plugin',
  description: 'Adds the sidebar of jupyter_orchestra.',
  autoStart: true,
  optional: [ILabShell, ILayoutRestorer, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    labShell: ILabShell | null,
    restorer: ILayoutRestorer | null,
    translator: ITranslator | null
  ): void => {
    const sidebar = createSidebar((translator ?? nullTranslator).load(DOMAIN));
    app.shell.add(sidebar, 'right', { rank: 900, type: 'Orchestra' });
    // Notebook 7 has no ILabShell: there a side panel shows only what is asked for, and restores no layout.
    if (labShell !== null && restorer !== null) {
      restorer.add(sidebar, SIDEBAR_ID);
    }
  }
};

export default plugin;
