/** Owns which tabs of ours are open, and that they come back after a reload of the page. It draws nothing. */
import type { ILayoutRestorer } from '@jupyterlab/application';
import type { MainAreaWidget } from '@jupyterlab/apputils';
import { WidgetTracker } from '@jupyterlab/apputils';

import type { TaskPanel } from './panel/taskPanel';

/** The tabs that are open; what opens one notes it here. */
export class OpenTabs {
  readonly panels = new WidgetTracker<MainAreaWidget<TaskPanel>>({ namespace: 'jupyter-orchestra-panel' });
  readonly timelines = new WidgetTracker<MainAreaWidget>({ namespace: 'jupyter-orchestra-timeline' });

  /** Open them again with these commands; the one for a panel takes the `uid` of its task, and its `name`. */
  restore(restorer: ILayoutRestorer, open: string, timeline: string): void {
    void restorer.restore(this.panels, {
      command: open,
      args: ({ content, title }) => ({ uid: content.uid, name: title.label }),
      name: ({ content }) => content.uid
    });
    void restorer.restore(this.timelines, { command: timeline, name: () => 'timeline' });
  }
}
