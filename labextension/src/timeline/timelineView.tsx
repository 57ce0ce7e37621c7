/** Opens the timeline and finds its place. It knows nothing of how it is drawn. */
import '../../style/timeline.css';

import type { JupyterFrontEnd } from '@jupyterlab/application';
import { MainAreaWidget } from '@jupyterlab/apputils';
import { ReactWidget } from '@jupyterlab/ui-components';
import React from 'react';

import { orchestraIcon } from '../icon';
import type { OrchestraModel } from '../model';
import { openPanel } from '../panel';
import { panelOf } from '../places';
import { Timeline } from './timelineChart';
import type { IUi } from '../ui';

const ID = 'jupyter-orchestra-timeline';

/** Show the timeline; there is one. */
export async function openTimeline(app: JupyterFrontEnd, model: OrchestraModel, ui: IUi): Promise<void> {
  if (ui.tabs.timelines.size === 0) {
    await ui.tabs.timelines.add(createTimeline(app, model, ui));
  }
  app.shell.activateById(ID);
}

function createTimeline(app: JupyterFrontEnd, model: OrchestraModel, ui: IUi): MainAreaWidget {
  const { labShell, preferences, tracker, trans } = ui;
  const open = (uid: string): void => void openPanel(app, model, ui, uid);
  const content = ReactWidget.create(
    <Timeline model={model} minutes={preferences.settings.timelineMinutes} open={open} trans={trans} />
  );
  content.addClass('jp-OrchestraTimeline');
  const timeline = new MainAreaWidget({ content });
  timeline.id = ID;
  timeline.toolbar.hide();
  timeline.title.label = trans.__('Timeline');
  timeline.title.icon = orchestraIcon;
  content.node.setAttribute('aria-label', trans.__('Timeline'));
  if (labShell === null) {
    app.shell.add(timeline, 'right', { rank: 905, type: 'Orchestra' });
  } else {
    // It is wide and low: below the notebook, whose place it leaves alone.
    const ref = model.current === null ? null : panelOf(tracker, model.current)?.id ?? null;
    app.shell.add(timeline, 'main', { mode: 'split-bottom', ref, activate: false, type: 'Orchestra' });
  }
  return timeline;
}
